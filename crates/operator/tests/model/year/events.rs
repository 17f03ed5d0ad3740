//! What happens in a year.

use proptest::prelude::*;
use proptest::sample::Index;

/// The clients' places. Keys of sets are honoured, and clients are taken over, in the first namespace alone.
pub const CLIENTS: [(&str, &str); 4] =
    [("shop", "orders"), ("shop", "payments"), ("shop", "reports"), ("attic", "squatter")];
/// The key sets' places, and the sets. The last two want the same one.
pub const SETS: [(&str, &str); 3] =
    [("access-tokens", store::ACCESS_TOKEN_SET), ("invoices", "invoices"), ("rival", "invoices")];

/// Some days, and what happens in them.
#[derive(Debug, Clone)]
pub struct Chapter {
    pub events: Vec<Event>,
    /// How much time passes after that with an operator at work.
    pub hours: i64,
}

/// What a client's manifest says.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the manifest")]
pub struct ClientShape {
    /// None, one that is its own, or one that several want.
    pub id: u8,
    pub shares_secret: bool,
    pub orphan: bool,
    pub adopts: bool,
    pub rotation: u8,
    pub key_pair: bool,
    pub scopes: u8,
    /// How long its tokens live, in hours.
    pub lifetime: Option<u8>,
}

/// What a key set's manifest says.
#[derive(Debug, Clone)]
pub struct SetShape {
    pub algorithms: u8,
    pub period: u8,
    pub lead: u8,
    pub retain: u8,
    pub goes: bool,
    pub export: u8,
}

/// Something that happens, to one of the resources where it is about one.
#[derive(Debug, Clone)]
pub enum Event {
    // What is pushed.
    Client(usize, ClientShape),
    Set(usize, SetShape),
    DeleteClient(usize),
    DeleteSet(usize),
    RotateSecret(usize, u8),
    Rotate(usize, u8),
    RotateNow(usize, u8),
    Revoke(usize, Index),
    Suspend(usize, bool),
    SuspendSet(usize, bool),
    // What somebody does by hand.
    DeleteSecret(usize),
    Tamper(usize, u8),
    RemoveMarks(usize),
    DamageExport(usize, u8),
    EditRow(usize),
    EditSetRow(usize),
    LoseStatus(usize),
    LoseRow(usize),
    Disown(usize),
    // What befalls the database, and after how many writes the first repair of it dies.
    Empty(u64),
    Remember,
    RollBack(u64),
    // What befalls operators.
    Crash(usize, u64),
    Fail(usize, u64, bool),
    Outage(i64),
    Freeze(usize, u64),
    Thaw,
    Rivals(usize, u64),
    AnotherLeads(usize),
    Away(i64),
    Server,
    Work,
}

fn client() -> impl Strategy<Value = usize> {
    0..CLIENTS.len()
}

fn set() -> impl Strategy<Value = usize> {
    0..SETS.len()
}

/// Any resource: the clients, then the sets.
fn resource() -> impl Strategy<Value = usize> {
    0..CLIENTS.len() + SETS.len()
}

fn client_shape() -> impl Strategy<Value = ClientShape> {
    let flags = (any::<[u8; 3]>(), any::<bool>(), prop::option::weighted(0.3, 1..100_u8));
    (0..3_u8, 0..3_u8, 0..4_u8, flags).prop_map(|(id, rotation, scopes, ([a, b, c], adopts, lifetime))| {
        ClientShape {
            id,
            shares_secret: a % 5 == 0,
            orphan: b % 3 == 0,
            adopts,
            rotation,
            key_pair: c % 6 == 0,
            scopes,
            lifetime,
        }
    })
}

fn set_shape() -> impl Strategy<Value = SetShape> {
    (0..3_u8, 0..3_u8, 0..3_u8, 0..3_u8, any::<bool>(), 0..4_u8).prop_map(
        |(algorithms, period, lead, retain, goes, export)| SetShape {
            algorithms,
            period,
            lead,
            retain,
            goes,
            export,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    let pushed = prop_oneof![
        5 => (client(), client_shape()).prop_map(|(at, shape)| E::Client(at, shape)),
        3 => (set(), set_shape()).prop_map(|(at, shape)| E::Set(at, shape)),
        2 => client().prop_map(E::DeleteClient),
        1 => set().prop_map(E::DeleteSet),
        2 => (client(), 0..3_u8).prop_map(|(at, nonce)| E::RotateSecret(at, nonce)),
        1 => (set(), 0..3_u8).prop_map(|(at, nonce)| E::Rotate(at, nonce)),
        1 => (set(), 0..3_u8).prop_map(|(at, nonce)| E::RotateNow(at, nonce)),
        1 => (set(), any::<Index>()).prop_map(|(at, key)| E::Revoke(at, key)),
        1 => (client(), any::<bool>()).prop_map(|(at, to)| E::Suspend(at, to)),
        1 => (set(), any::<bool>()).prop_map(|(at, to)| E::SuspendSet(at, to)),
    ];
    let by_hand = prop_oneof![
        2 => client().prop_map(E::DeleteSecret),
        2 => (client(), any::<u8>()).prop_map(|(at, n)| E::Tamper(at, n)),
        1 => client().prop_map(E::RemoveMarks),
        2 => (set(), 0..3_u8).prop_map(|(at, how)| E::DamageExport(at, how)),
        2 => client().prop_map(E::EditRow),
        1 => set().prop_map(E::EditSetRow),
        1 => client().prop_map(E::LoseStatus),
        1 => client().prop_map(E::LoseRow),
        1 => client().prop_map(E::Disown),
    ];
    let losses = prop_oneof![
        1 => (0..6_u64).prop_map(E::Empty),
        2 => Just(E::Remember),
        1 => (0..6_u64).prop_map(E::RollBack),
    ];
    let operators = prop_oneof![
        5 => (resource(), 1..7_u64).prop_map(|(at, writes)| E::Crash(at, writes)),
        3 => (resource(), 1..8_u64, any::<bool>()).prop_map(|(at, call, after)| E::Fail(at, call, after)),
        1 => (1..30_i64).prop_map(E::Outage),
        3 => (resource(), 1..8_u64).prop_map(|(at, calls)| E::Freeze(at, calls)),
        1 => Just(E::Thaw),
        2 => (resource(), any::<u64>()).prop_map(|(at, seed)| E::Rivals(at, seed)),
        2 => (0..3_usize).prop_map(E::AnotherLeads),
        2 => (1..200_i64).prop_map(E::Away),
        1 => Just(E::Server),
        3 => Just(E::Work),
    ];
    prop_oneof![9 => pushed, 5 => by_hand, 2 => losses, 8 => operators]
}

pub fn chapter() -> impl Strategy<Value = Chapter> {
    // With what passes in outages it comes to a fortnight.
    (prop::collection::vec(event(), 1..8), 100..600_i64).prop_map(|(events, hours)| Chapter { events, hours })
}
