//! What a client that speaks MQTT says, as packets.
//!
//! In: the group's rules, a client with its variables. Out: binary messages, one packet in each. What cannot be written, a text that is too long or has a NUL in
//! it, is not sent.

use tokio_tungstenite::tungstenite::Message;

use crate::declare::template::Template;
use crate::mqtt::{self, Connect};
use crate::scenario::keys::MqttRules;

use super::variables::Renderer;

/// CONNECT: who a client is.
pub(super) fn connect_packet(rules: &MqttRules, most: usize, client: Renderer<'_>) -> Option<Message> {
    // One time for all: a password may sign the time that the user name tells.
    let client = client.at_once();
    let text = |template: &Option<Template>| template.as_ref().map(|template| client.render(template));
    let (client_id, username, password) =
        (client.render(&rules.client_id), text(&rules.username), text(&rules.password));
    let said = Connect {
        client_id: &client_id,
        username: username.as_deref(),
        password: password.as_deref(),
        keep_alive: rules.keep_alive_s(),
        clean_start: rules.clean_start,
        session_expiry: rules.session_expiry_s(),
        most,
    };
    let packet = mqtt::connect(rules.version, &said);
    if packet.is_none() {
        log::warn!("a client cannot say who it is: its identifier, user name or password is no text of MQTT");
    }
    packet.map(Message::Binary)
}

/// What is said as the thing of this index, its variables filled by `render`, under `id` where it is to be acknowledged.
pub(super) fn said_packet(
    rules: &MqttRules,
    index: usize,
    id: Option<u16>,
    render: impl Fn(&Template) -> String,
) -> Option<Message> {
    let packet = match rules.published(index) {
        Some(publish) => {
            let (topic, payload) = (render(&publish.topic), render(&publish.payload));
            mqtt::publish(rules.version, topic, payload, id)
        }
        None => {
            let filters = rules.subscribe.iter().map(|one| (render(&one.topic), one.qos == 1)).collect();
            mqtt::subscribe(rules.version, id?, filters)
        }
    };
    if packet.is_none() {
        log::warn!("a packet was not sent: its topic is no text of MQTT");
    }
    packet.map(Message::Binary)
}
