//! The keys of a scenario, a file for each table: what they are and what they mean.
//!
//! In: tables of the document. Out: types whose values are valid by construction or were checked when the file was loaded. Shares are 0..1,
//! rates per second. A key stands in one place: its field. Rules between keys are functions beside it.

mod aggregate;
pub mod arrivals;
pub mod binary;
pub mod bound;
pub mod capacity;
pub mod compression;
pub mod connect;
pub mod credentials;
pub mod delay;
pub mod event;
pub mod fault;
pub mod feeder;
pub mod grant;
pub mod group;
pub mod health;
pub mod limit;
pub mod limits;
pub mod message_rule;
pub mod mint;
pub mod mqtt;
pub mod observe;
pub mod on_reconnect;
pub mod policy;
pub mod prepare;
pub mod probe;
pub mod reconnect;
pub mod refusal;
pub mod route;
pub mod say;
pub mod scenario;
pub mod script;
pub mod session;
pub mod sign;
pub mod simulate;
pub mod storm;
pub mod stream;
pub mod talk_subject;
pub mod target;
pub mod target_rules;
pub mod target_tokens;
pub mod threshold;
pub mod thresholds;
pub mod token;
pub(crate) mod told;
pub mod topics;
pub mod value_at;

pub use arrivals::{ArrivalStage, Arrivals, Counted, Process, RatePart};
pub use binary::{Binary, BinaryFormat, LengthPrefix};
pub use bound::{ClientCertificate, Dpop, NonceAt, TargetCertificates, TargetDpop, fingerprint};
pub use capacity::{Abandoned, Capacity};
pub use compression::Compression;
pub use connect::{ConnectRules, TlsResumption, TokenIn, check_origin};
pub use credentials::{ClientAuth, ClientCredentials, EXPIRES_POINTER, TOKEN_POINTER, TokenBody};
pub use delay::Delay;
pub use event::{Argument, Event, EventDoes, EventRequest, EventSignal, EventWait, SignalTo};
pub use fault::{FaultKind, FaultStage, FrameFlaw, Skew, StatusFault, TargetFault};
pub use feeder::{Feeder, TOKEN_VARIABLES, TokenFill};
pub use grant::{Grant, JWT_BEARER, JwtKeys, Shown, TOKEN_EXCHANGE, TokenExchangeKeys};
pub use group::{Group, Stage, Start};
pub use health::Health;
pub use limit::{LimitOf, RequestLimit, WindowLimit};
pub use limits::Limits;
pub use message_rule::{Expression, Literal, MessageRule};
pub use mint::{ClientAssertion, MintRules, Trusted};
pub use mqtt::{MqttRules, Publish, SUBSCRIBE, Subscription};
pub use observe::{Fold, Observe, ObservePlace, ObserveSeries, Wanted};
pub use on_reconnect::OnReconnect;
pub use prepare::{Method, Pattern, PrepareRules, PrepareWhen, SaveFrom, Step, StepPlace};
pub use probe::Probe;
pub use reconnect::{Backoff, Growth, Jitter, ReconnectRules, RefusalName, ResetOn};
pub use refusal::{RefusalDetail, RefusalManner, RefusalStatus};
pub use route::{Evicts, Route, RouteDoes, TICKET_IN_PATH, TicketEnd, Tickets, path_fits, ticket_in};
pub use say::{Check, Reply, Said, Say, When};
pub use scenario::Scenario;
pub use script::{MessageToken, ScriptAt, ScriptRule, TargetStorm, TopicsAt};
pub use session::{
    Heartbeat, KeepAlive, KeepAliveKind, OnMessage, Ready, RefusedOn, Send, SessionRules, Then,
};
pub use sign::{OnSignedReconnect, SignKind, SignRules, SignatureKey, SignaturePlace, Signatures};
pub use simulate::{NetworkFault, NetworkFaultKind, Simulate, StageDelays, TimeStage};
pub use storm::{ClientDisconnect, DisconnectHow, Storm, StormBy};
pub use stream::{Kinds, SentAt, Stream, TimeUnit};
pub use talk_subject::{ExchangeOf, StreamOf};
pub use target::{RemoteTarget, Target};
pub use target_rules::{
    AtSessionLimit, IdleAction, IdleCounts, Invalidation, OnReuse, RefreshTokens, TargetClient, TargetRules,
    TokenEnd, TokenFormat, TokenPlace,
};
pub use target_tokens::{ExcessScopes, GrantType, TargetUser, TokenRequestBody, TokenSigning};
pub use threshold::{Aggregate, Comparison, OutageOf, ShareOf, Subject, Threshold};
pub use token::{Sharing, TokenConnection, TokenRules};
pub use topics::TargetTopics;
pub use value_at::ValueAt;
