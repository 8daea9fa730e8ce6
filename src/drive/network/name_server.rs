//! A name server, asked directly: the addresses of a name, and for how long they hold.
//!
//! In: the server's address, a name. Out: what it answered. Over UDP, again and again until it answers, and over TCP where the answer does
//! not fit; it knows no policy and keeps nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ring::rand::{SystemRandom, generate};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long each question waits for its answer, before it is asked again.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// Longest time for one that is asked over TCP.
const TCP_WAIT: Duration = Duration::from_secs(10);
/// The largest answer over UDP that is read; one without EDNS has 512 bytes (RFC 1035 §2.3.4).
const LARGEST: usize = 4096;

/// What a name resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its addresses; none where it has none.
    pub(super) addresses: Vec<IpAddr>,
    /// For how long they hold: the least of the answer's records.
    pub(super) ttl: Duration,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// That.
    Found(Found),
    /// That it did not fit (RFC 1035 §4.1.1).
    Truncated,
}

/// Asks `server` for the addresses of `host`, of both families at once.
///
/// # Errors
/// Where it does not answer at all.
pub(super) async fn ask(server: SocketAddr, host: &str) -> io::Result<Found> {
    let (six, four) = tokio::join!(ask_for(server, host, TYPE::AAAA), ask_for(server, host, TYPE::A));
    let (six, four) = match (six, four) {
        (Err(error), Err(_)) => return Err(error),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => return Ok(found),
        (Ok(six), Ok(four)) => (six, four),
    };
    let ttl = [&six, &four].iter().filter(|found| !found.addresses.is_empty()).map(|found| found.ttl).min();
    let mut addresses = six.addresses;
    addresses.extend(four.addresses);
    Ok(Found { addresses, ttl: ttl.unwrap_or_default() })
}

async fn ask_for(server: SocketAddr, host: &str, kind: TYPE) -> io::Result<Found> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // What others send is not read.
    socket.connect(server).await?;
    let id = generate::<[u8; 4]>(&SystemRandom::new()).map_err(|_| io::Error::other("no randomness"))?;
    let [high, low, ..] = id.expose();
    let id = u16::from_be_bytes([high, low]);
    let question = question(id, host, kind)?;
    for wait in WAITS {
        socket.send(&question).await?;
        match timeout(wait, receive(&socket, id, host, kind)).await {
            Ok(Ok(Answer::Found(found))) => return Ok(found),
            Ok(Ok(Answer::Truncated)) => return ask_over_tcp(server, &question, id, host, kind).await,
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn question(id: u16, host: &str, kind: TYPE) -> io::Result<Vec<u8>> {
    let name = Name::new(host.trim_end_matches('.')).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The next answer to that question.
async fn receive(socket: &UdpSocket, id: u16, host: &str, kind: TYPE) -> io::Result<Answer> {
    let mut bytes = vec![0; LARGEST];
    loop {
        let length = socket.recv(&mut bytes).await?;
        if let Some(answer) = read_answer(&bytes[..length], id, host, kind) {
            return Ok(answer);
        }
    }
}

async fn ask_over_tcp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    host: &str,
    kind: TYPE,
) -> io::Result<Found> {
    let asking = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
        let mut bytes = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut bytes).await?;
        match read_answer(&bytes, id, host, kind) {
            Some(Answer::Found(found)) => Ok(found),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    };
    timeout(TCP_WAIT, asking).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// What a packet answers to the question for `host`; `None` where it is no answer to it.
pub(super) fn read_answer(bytes: &[u8], id: u16, host: &str, kind: TYPE) -> Option<Answer> {
    let packet = Packet::parse(bytes).ok()?;
    let is_of = |question: &Question<'_>| {
        let asked = host.trim_end_matches('.');
        question.qname.to_string().eq_ignore_ascii_case(asked) && question.qtype == kind.into()
    };
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !packet.questions.iter().all(is_of) {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Answer::Truncated);
    }
    let records = if packet.rcode() == RCODE::NoError { packet.answers.as_slice() } else { &[] };
    // Aliases among them hold for as long as they say, too.
    let addresses = records.iter().filter_map(|record| address(&record.rdata, kind)).collect();
    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
    Some(Answer::Found(Found { addresses, ttl: Duration::from_secs(ttl.into()) }))
}

fn address(data: &RData<'_>, kind: TYPE) -> Option<IpAddr> {
    match data {
        RData::A(four) if kind == TYPE::A => Some(Ipv4Addr::from(four.address).into()),
        RData::AAAA(six) if kind == TYPE::AAAA => Some(Ipv6Addr::from(six.address).into()),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod served {
    //! A name server for tests.

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use simple_dns::rdata::A;
    use simple_dns::{CLASS, ResourceRecord};
    use tokio::net::TcpListener;

    use super::*;

    pub(crate) type Records = Vec<(u32, RData<'static>)>;

    pub(crate) fn four(last: u8) -> RData<'static> {
        RData::A(A { address: u32::from(Ipv4Addr::new(127, 0, 0, last)) })
    }

    pub(crate) fn answer(id: u16, kind: TYPE, flags: PacketFlag, code: RCODE, records: &Records) -> Vec<u8> {
        let mut packet = Packet::new_reply(id);
        packet.set_flags(flags);
        *packet.rcode_mut() = code;
        let asked = Name::new("SERVICE.test").unwrap();
        packet.questions.push(Question::new(asked, kind.into(), CLASS::IN.into(), false));
        for (ttl, data) in records {
            let name = Name::new("service.test").unwrap();
            packet.answers.push(ResourceRecord::new(name, CLASS::IN, *ttl, data.clone()));
        }
        packet.build_bytes_vec().unwrap()
    }

    /// Answers the questions for IPv4 addresses by turns, the last answer for ever, and says how many were asked; `None`: it is not heard. Over TCP
    /// the last answer is whole. There are no IPv6 addresses.
    pub(crate) async fn serve(answers: Vec<Option<(PacketFlag, Records)>>) -> (SocketAddr, Arc<AtomicUsize>) {
        // A port that is free over UDP may be taken over TCP.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            match TcpListener::bind(udp.local_addr().unwrap()).await {
                Ok(tcp) => break (udp, tcp),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
            }
        };
        let address = udp.local_addr().unwrap();
        let whole = answers.last().cloned().flatten().unwrap().1;
        tokio::spawn(async move {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut asked = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut asked).await.unwrap();
            let id = Packet::parse(&asked).unwrap().id();
            let bytes = answer(id, TYPE::A, PacketFlag::RESPONSE, RCODE::NoError, &whole);
            stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        });
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            loop {
                let (length, from) = udp.recv_from(&mut bytes).await.unwrap();
                let asked = Packet::parse(&bytes[..length]).unwrap();
                let reply = if asked.questions[0].qtype == TYPE::A.into() {
                    let turn = counted.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
                    let Some((flags, records)) = &answers[turn] else { continue };
                    answer(asked.id(), TYPE::A, *flags, RCODE::NoError, records)
                } else {
                    answer(asked.id(), TYPE::AAAA, PacketFlag::RESPONSE, RCODE::NoError, &Vec::new())
                };
                udp.send_to(&reply, from).await.unwrap();
            }
        });
        (address, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::Ordering;

    use simple_dns::rdata::CNAME;

    use super::served::{Records, answer, four, serve};

    const HOST: &str = "service.test";

    fn good(kind: TYPE, records: &Records) -> Vec<u8> {
        answer(7, kind, PacketFlag::RESPONSE, RCODE::NoError, records)
    }

    fn found(addresses: &[&str], ttl: u64) -> Found {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Found { addresses, ttl: Duration::from_secs(ttl) }
    }

    #[test]
    fn an_answer_holds_for_as_long_as_the_least_of_its_records() {
        let alias = RData::CNAME(CNAME(Name::new("other.test").unwrap()));
        let bytes = good(TYPE::A, &vec![(30, alias), (60, four(2)), (90, four(3))]);
        let two = found(&["127.0.0.2", "127.0.0.3"], 30);
        assert_eq!(read_answer(&bytes, 7, "service.TEST.", TYPE::A), Some(Answer::Found(two)));
    }

    #[test]
    fn what_is_no_answer_is_passed_over_and_a_refusal_has_no_addresses() {
        let one = vec![(30, four(2))];
        let bytes = good(TYPE::A, &one);
        assert_eq!(read_answer(&bytes, 7, HOST, TYPE::A), Some(Answer::Found(found(&["127.0.0.2"], 30))));
        assert_eq!(read_answer(&bytes, 8, HOST, TYPE::A), None, "another id");
        assert_eq!(read_answer(&bytes, 7, "other.test", TYPE::A), None, "another name");
        assert_eq!(read_answer(&bytes, 7, HOST, TYPE::AAAA), None, "another family");
        assert_eq!(read_answer(&bytes[..bytes.len() - 1], 7, HOST, TYPE::A), None, "cut short");
        assert_eq!(read_answer(&question(7, HOST, TYPE::A).unwrap(), 7, HOST, TYPE::A), None, "a question");
        let cut = PacketFlag::RESPONSE | PacketFlag::TRUNCATION;
        let cut = answer(7, TYPE::A, cut, RCODE::NoError, &Vec::new());
        assert_eq!(read_answer(&cut, 7, HOST, TYPE::A), Some(Answer::Truncated));
        let none = answer(7, TYPE::A, PacketFlag::RESPONSE, RCODE::NameError, &one);
        assert_eq!(read_answer(&none, 7, HOST, TYPE::A), Some(Answer::Found(found(&[], 0))));
    }

    #[tokio::test]
    async fn a_question_is_asked_again_and_over_tcp_where_the_answer_does_not_fit() {
        for flags in [PacketFlag::RESPONSE, PacketFlag::RESPONSE | PacketFlag::TRUNCATION] {
            let (server, asked) = serve(vec![None, Some((flags, vec![(5, four(9))]))]).await;
            assert_eq!(ask(server, HOST).await.unwrap(), found(&["127.0.0.9"], 5), "{flags:?}");
            assert_eq!(asked.load(Ordering::Relaxed), 2, "{flags:?}");
        }
        // Nobody listens there: the system says so at once.
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(ask(closed, HOST).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
