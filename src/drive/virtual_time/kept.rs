//! Sessions that clients keep beside their next ones.
//!
//! In: a session's link, frames that come over it, moments. Out: frames to the target, how the session ended. What comes is counted by the world.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::lifecycle::{Ending, EndingHow, Event};
use crate::sample::{Abnormal, NORMAL_CLOSURE, Said, Word};

use super::frame::{ToClient, ToTarget};
use super::queue::Kind;
use super::slab::Key;
use super::transit::Transit;

/// How a kept session stands.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Open,
    /// The client closes it, since then.
    Closing(Moment),
    /// It knows of the end, and the closing handshake goes on.
    Ending(Ending),
}

/// A kept session.
#[derive(Debug)]
struct Kept {
    link: Key,
    stage: Stage,
    /// When it does something by itself.
    due: Moment,
    /// Whether the client had begun to close it.
    closed: bool,
    fate: Fate,
}

/// What the client has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is in by it.
    IsIn,
    /// It is in by the next one.
    Released,
    /// It has no other, and leaves.
    Leaves,
}

/// How a kept session has ended.
#[derive(Debug)]
pub(super) struct KeptEnd {
    pub(super) at: Moment,
    pub(super) event: Event,
    /// The client is in by the next session.
    pub(super) is_released: bool,
    /// The client waits for this end.
    pub(super) leaves: bool,
}

/// All of them, by their clients. Who keeps none takes no room.
#[derive(Debug, Default)]
pub(super) struct KeptSessions {
    of: HashMap<u32, Kept>,
}

impl KeptSessions {
    /// Client `number` keeps the session over `link` until then.
    pub(super) fn keep(&mut self, transit: &mut Transit, number: u32, link: Key, until: Moment) {
        let kept = Kept { link, stage: Stage::Open, due: until, closed: false, fate: Fate::IsIn };
        self.of.insert(number, kept);
        transit.queue.put_for(until, Kind::Known, link, 0);
    }

    /// Whether that is the link of the session that the client keeps.
    pub(super) fn is(&self, number: u32, link: Key) -> bool {
        !self.of.is_empty() && self.of.get(&number).is_some_and(|kept| kept.link == link)
    }

    /// The link of the session that the client keeps.
    pub(super) fn link(&self, number: u32) -> Key {
        self.of.get(&number).map_or(Key::NONE, |kept| kept.link)
    }

    /// Whether the client keeps one.
    pub(super) fn has(&self, number: u32) -> bool {
        !self.of.is_empty() && self.of.contains_key(&number)
    }

    /// Whether the client is in by the session that it keeps.
    pub(super) fn is_in(&self, number: u32) -> bool {
        !self.of.is_empty() && self.of.get(&number).is_some_and(|kept| kept.fate == Fate::IsIn)
    }

    /// The client closes its kept session: the next one is ready, or it leaves.
    pub(super) fn close(&mut self, transit: &mut Transit, number: u32, timeout: Duration, leaves: bool) {
        let Some(kept) = self.of.get_mut(&number) else { return };
        kept.fate = if leaves { Fate::Leaves } else { Fate::Released };
        begin_close(kept, transit, timeout);
    }

    /// A frame has come over it; `Some`: it has ended. Answers of its own go out.
    pub(super) fn receive(
        &mut self,
        transit: &mut Transit,
        number: u32,
        (frame, timeout): (ToClient, Duration),
    ) -> Option<KeptEnd> {
        let now = transit.now();
        let kept = self.of.get_mut(&number)?;
        let link = kept.link;
        let how = match frame {
            ToClient::Close(code) => {
                let ending = match kept.stage {
                    Stage::Ending(_) => return None,
                    Stage::Open => {
                        transit.network.send_to_target(&mut transit.queue, link, ToTarget::Close(code));
                        Ending::new(now, EndingHow::PeerClosed(code))
                    }
                    Stage::Closing(at) if code == NORMAL_CLOSURE => left(at),
                    Stage::Closing(at) => {
                        let said = Said { target: Word::of(code), client: Word::Code(NORMAL_CLOSURE) };
                        Ending { at, how: EndingHow::PeerClosed(code), said }
                    }
                };
                let takes = transit.network.detection().min(timeout);
                kept.stage = Stage::Ending(ending);
                kept.due = now + takes;
                transit.queue.put_for(kept.due, Kind::Known, link, 0);
                return None;
            }
            ToClient::Echo => {
                let Stage::Closing(at) = kept.stage else { return None };
                return self.end(transit, number, left(at));
            }
            ToClient::Fin => Abnormal::Fin,
            ToClient::Rst => Abnormal::Rst,
            ToClient::Broken(how) => {
                transit.network.send_to_target(&mut transit.queue, link, ToTarget::Fin);
                how
            }
            ToClient::Message(_) | ToClient::Told | ToClient::Pong => return None,
        };
        let how = EndingHow::Abnormal(how);
        match kept.stage {
            Stage::Open => self.end(transit, number, Ending::new(now, how)),
            Stage::Closing(at) => self.end(transit, number, unanswered(at, how)),
            Stage::Ending(_) => None,
        }
    }

    /// Its moment has come, unless it is another by now; `Some`: it has ended.
    pub(super) fn wake(&mut self, transit: &mut Transit, number: u32, timeout: Duration) -> Option<KeptEnd> {
        let kept = self.of.get_mut(&number)?;
        if transit.now() < kept.due {
            return None;
        }
        match kept.stage {
            Stage::Open => {
                begin_close(kept, transit, timeout);
                None
            }
            Stage::Closing(at) => {
                transit.network.send_to_target(&mut transit.queue, kept.link, ToTarget::Fin);
                self.end(transit, number, unanswered(at, EndingHow::Abnormal(Abnormal::Timeout)))
            }
            Stage::Ending(ending) => self.end(transit, number, ending),
        }
    }

    fn end(&mut self, transit: &mut Transit, number: u32, ending: Ending) -> Option<KeptEnd> {
        let Kept { link, closed, fate, .. } = self.of.remove(&number)?;
        transit.network.client_lets_go(link);
        let leaves = fate == Fate::Leaves;
        let event = if leaves { Event::Ended(ending) } else { Event::KeptEnded { ending, closed } };
        Some(KeptEnd { at: ending.at, event, is_released: fate == Fate::Released, leaves })
    }

    /// The client is done: it lets go of the one that it may keep.
    pub(super) fn finish(&mut self, transit: &mut Transit, number: u32) {
        if !self.has(number) {
            return;
        }
        if let Some(kept) = self.of.remove(&number) {
            transit.network.send_to_target(&mut transit.queue, kept.link, ToTarget::Fin);
            transit.network.client_lets_go(kept.link);
        }
    }
}

fn begin_close(kept: &mut Kept, transit: &mut Transit, timeout: Duration) {
    if !matches!(kept.stage, Stage::Open) {
        return;
    }
    let now = transit.now();
    kept.closed = true;
    kept.stage = Stage::Closing(now);
    kept.due = now + timeout;
    transit.network.send_to_target(&mut transit.queue, kept.link, ToTarget::Close(NORMAL_CLOSURE));
    transit.queue.put_for(kept.due, Kind::Known, kept.link, 0);
}

/// The end of a session that its client left.
const fn left(at: Moment) -> Ending {
    Ending { at, how: EndingHow::Left, said: Said::by_client(Word::Code(NORMAL_CLOSURE)) }
}

/// The end of a session whose client's close frame was not answered.
const fn unanswered(at: Moment, how: EndingHow) -> Ending {
    Ending { at, how, said: Said::by_client(Word::Code(NORMAL_CLOSURE)) }
}
