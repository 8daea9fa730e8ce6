//! Why a broker says no, in the specifications' words.
//!
//! In: return codes of MQTT 3.1.1 (§3.2.2.3), reason codes of MQTT 5 (§2.4). Out: the same word for the same reason.

use symqtt_codec::v3::ConnectReturnCode;
use symqtt_codec::v5::ReasonCode;

/// Why a CONNACK of MQTT 3.1.1 refuses; `None`: it accepts.
pub(super) const fn words_of_return(code: ConnectReturnCode) -> Option<&'static str> {
    Some(match code {
        ConnectReturnCode::Accepted => return None,
        ConnectReturnCode::UnacceptableProtocol => "unsupported_protocol_version",
        ConnectReturnCode::IdentifierRejected => "client_identifier_not_valid",
        ConnectReturnCode::ServerUnavailable => "server_unavailable",
        ConnectReturnCode::BadCredentials => "bad_user_name_or_password",
        ConnectReturnCode::NotAuthorized => "not_authorized",
    })
}

/// The words of a reason code of MQTT 5, as it stands in a packet.
#[must_use]
pub fn words_of_code(code: u8) -> &'static str {
    ReasonCode::try_from(code).map_or("unknown_reason", words_of_reason)
}

/// A reason code of MQTT 5.
pub(super) const fn words_of_reason(code: ReasonCode) -> &'static str {
    match code {
        ReasonCode::Success => "normal_disconnection",
        ReasonCode::GrantedQoS1 => "granted_qos_1",
        ReasonCode::GrantedQoS2 => "granted_qos_2",
        ReasonCode::DisconnectWithWill => "disconnect_with_will_message",
        ReasonCode::NoMatchingSubscribers => "no_matching_subscribers",
        ReasonCode::NoSubscriptionExisted => "no_subscription_existed",
        ReasonCode::ContinueAuthentication => "continue_authentication",
        ReasonCode::ReAuthenticate => "re_authenticate",
        ReasonCode::UnspecifiedError => "unspecified_error",
        ReasonCode::MalformedPacket => "malformed_packet",
        ReasonCode::ProtocolError => "protocol_error",
        ReasonCode::ImplementationSpecificError => "implementation_specific_error",
        ReasonCode::UnsupportedProtocolVersion => "unsupported_protocol_version",
        ReasonCode::ClientIdentifierNotValid => "client_identifier_not_valid",
        ReasonCode::BadUserNameOrPassword => "bad_user_name_or_password",
        ReasonCode::NotAuthorized => "not_authorized",
        ReasonCode::ServerUnavailable => "server_unavailable",
        ReasonCode::ServerBusy => "server_busy",
        ReasonCode::Banned => "banned",
        ReasonCode::ServerShuttingDown => "server_shutting_down",
        ReasonCode::BadAuthenticationMethod => "bad_authentication_method",
        ReasonCode::KeepAliveTimeout => "keep_alive_timeout",
        ReasonCode::SessionTakenOver => "session_taken_over",
        ReasonCode::TopicFilterInvalid => "topic_filter_invalid",
        ReasonCode::TopicNameInvalid => "topic_name_invalid",
        ReasonCode::PacketIdentifierInUse => "packet_identifier_in_use",
        ReasonCode::PacketIdentifierNotFound => "packet_identifier_not_found",
        ReasonCode::ReceiveMaximumExceeded => "receive_maximum_exceeded",
        ReasonCode::TopicAliasInvalid => "topic_alias_invalid",
        ReasonCode::PacketTooLarge => "packet_too_large",
        ReasonCode::MessageRateTooHigh => "message_rate_too_high",
        ReasonCode::QuotaExceeded => "quota_exceeded",
        ReasonCode::AdministrativeAction => "administrative_action",
        ReasonCode::PayloadFormatInvalid => "payload_format_invalid",
        ReasonCode::RetainNotSupported => "retain_not_supported",
        ReasonCode::QoSNotSupported => "qos_not_supported",
        ReasonCode::UseAnotherServer => "use_another_server",
        ReasonCode::ServerMoved => "server_moved",
        ReasonCode::SharedSubscriptionsNotSupported => "shared_subscriptions_not_supported",
        ReasonCode::ConnectionRateExceeded => "connection_rate_exceeded",
        ReasonCode::MaximumConnectTime => "maximum_connect_time",
        ReasonCode::SubscriptionIdentifiersNotSupported => "subscription_identifiers_not_supported",
        ReasonCode::WildcardSubscriptionsNotSupported => "wildcard_subscriptions_not_supported",
    }
}
