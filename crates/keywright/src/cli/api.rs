//! The commands that ask a running server, in Hydra's grammar.

mod flows;
mod import_hydra;
mod keys;

use std::path::PathBuf;

pub use flows::{AuthorizationCodeArgs, DeviceCodeArgs, FlowArgs, ResponseMode};
pub use import_hydra::ImportHydraArgs;
pub use keys::{CreateKeyArgs, GetKeysArgs, ImportKeysArgs, KeySetsArgs};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

/// How the server is reached, and how its answer is printed.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// The URL of the API: the admin API's, or the public one's for `revoke` and `perform`.
    #[arg(short = 'e', long, env = "ORY_SDK_URL", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Do not verify the server's certificate.
    #[arg(long)]
    pub skip_tls_verify: bool,
    /// A header for each request, as `Name: value`; may be given several times.
    #[arg(short = 'H', long = "http-header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// table, json, json-pretty, yaml or jsonpointer=/a/b.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Print ids or tokens alone.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `keywright create …`.
#[derive(Debug, Subcommand)]
pub enum CreateCommand {
    /// Register a client.
    #[command(name = "oauth2-client", visible_alias = "client")]
    Client(Box<WriteClientArgs>),
    /// Make a key in a set, and the set where there is none.
    #[command(name = "jwk", visible_alias = "jwks")]
    Key(CreateKeyArgs),
}

/// `keywright get …`.
#[derive(Debug, Subcommand)]
pub enum GetCommand {
    /// Show clients.
    #[command(name = "oauth2-client", visible_alias = "client")]
    Client(ClientIdsArgs),
    /// Show key sets.
    #[command(name = "jwk", visible_alias = "jwks")]
    Keys(GetKeysArgs),
}

/// `keywright list …`.
#[derive(Debug, Subcommand)]
pub enum ListCommand {
    /// Show all clients, page by page.
    #[command(name = "oauth2-clients", visible_aliases = ["oauth2-client", "clients", "client"])]
    Clients(ListArgs),
}

/// `keywright update …`.
#[derive(Debug, Subcommand)]
pub enum UpdateCommand {
    /// Change a client: what is given, and nothing else; all with --file.
    #[command(name = "oauth2-client", visible_alias = "client")]
    Client(Box<UpdateClientArgs>),
}

/// `keywright import …`: into a running server, or into the database.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Register clients from JSON: one, or an array of them.
    #[command(name = "oauth2-client", visible_alias = "client")]
    Client {
        /// JSON files; standard input where none is given.
        files: Vec<PathBuf>,
        /// How the server is reached.
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Put keys from files into a set: JWKs, JWK sets, PEM or DER.
    #[command(name = "jwk", visible_alias = "jwks")]
    Keys(ImportKeysArgs),
    /// Take over an Ory Hydra's PostgreSQL database. Needs no running server; may be repeated.
    Hydra(Box<ImportHydraArgs>),
}

/// `keywright delete …`.
#[derive(Debug, Subcommand)]
pub enum DeleteCommand {
    /// Delete clients, and with them all of their tokens.
    #[command(name = "oauth2-client", visible_alias = "client")]
    Client(ClientIdsArgs),
    /// Delete key sets.
    #[command(name = "jwk", visible_alias = "jwks")]
    Keys(KeySetsArgs),
    /// End everything that was granted to a client.
    AccessTokens {
        /// The client's id.
        client_id: String,
        /// How the server is reached.
        #[command(flatten)]
        api: ApiArgs,
    },
}

/// `keywright introspect …`.
#[derive(Debug, Subcommand)]
pub enum IntrospectCommand {
    /// Show what a token is worth.
    Token {
        /// The token.
        token: String,
        /// Scopes that it must have to count as active.
        #[arg(long, value_delimiter = ',')]
        scope: Vec<String>,
        /// How the server is reached.
        #[command(flatten)]
        api: ApiArgs,
    },
}

/// `keywright revoke …`.
#[derive(Debug, Subcommand)]
pub enum RevokeCommand {
    /// End a token.
    Token {
        /// The token.
        token: String,
        /// The client that it was issued to.
        #[command(flatten)]
        client: ClientCredentialsArgs,
        /// How the server is reached.
        #[command(flatten)]
        api: ApiArgs,
    },
}

/// `keywright perform …`.
#[derive(Debug, Subcommand)]
pub enum PerformCommand {
    /// Get a token by the client credentials grant.
    ClientCredentials {
        /// The client.
        #[command(flatten)]
        client: ClientCredentialsArgs,
        /// Scopes to ask for.
        #[arg(long, value_delimiter = ',')]
        scope: Vec<String>,
        /// Audiences to ask for.
        #[arg(long, value_delimiter = ',')]
        audience: Vec<String>,
        /// How the server is reached.
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Log in with a browser, by the authorization code grant with PKCE.
    AuthorizationCode(Box<AuthorizationCodeArgs>),
    /// Log in as a device does, by the device grant.
    DeviceCode(DeviceCodeArgs),
}

/// Who asks.
#[derive(Debug, Clone, Args)]
pub struct ClientCredentialsArgs {
    /// The client's id.
    #[arg(long, env = "OAUTH2_CLIENT_ID")]
    pub client_id: String,
    /// The client's secret; without it the client is a public one.
    #[arg(long, env = "OAUTH2_CLIENT_SECRET", hide_env_values = true)]
    pub client_secret: Option<String>,
}

/// Which clients.
#[derive(Debug, Args)]
pub struct ClientIdsArgs {
    /// Ids of clients.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// How the server is reached.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Which page.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How many, at most 500.
    #[arg(long, default_value_t = 100)]
    pub page_size: u16,
    /// Where the page begins: what the page before named as the next one.
    #[arg(long, default_value = "")]
    pub page_token: String,
    /// How the server is reached.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `keywright create oauth2-client`.
#[derive(Debug, Args)]
pub struct WriteClientArgs {
    /// The id; by default the server makes one.
    #[arg(long)]
    pub id: Option<String>,
    /// What is registered.
    #[command(flatten)]
    pub client: ClientArgs,
    /// How the server is reached.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `keywright update oauth2-client`.
#[derive(Debug, Args)]
pub struct UpdateClientArgs {
    /// The client's id.
    pub id: String,
    /// What is registered.
    #[command(flatten)]
    pub client: ClientArgs,
    /// How the server is reached.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// What is registered of a client. Lists are separated by commas, or given several times.
#[derive(Debug, Clone, Default, Args)]
#[expect(missing_docs, reason = "each is the member of its name (RFC 7591), and said in its help")]
pub struct ClientArgs {
    /// A JSON file with the whole client, instead of flags; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The secret; by default the server makes one.
    #[arg(long)]
    pub secret: Option<String>,
    /// The name that people see.
    #[arg(long)]
    pub name: Option<String>,
    /// Whose it is.
    #[arg(long)]
    pub owner: Option<String>,
    /// Scopes that it may ask for.
    #[arg(long, value_delimiter = ',')]
    pub scope: Vec<String>,
    /// Audiences that it may ask for.
    #[arg(long, value_delimiter = ',')]
    pub audience: Vec<String>,
    /// Where authorization responses may go.
    #[arg(long, value_delimiter = ',')]
    pub redirect_uri: Vec<String>,
    /// Grant types, such as client_credentials [default: authorization_code].
    #[arg(long, value_delimiter = ',')]
    pub grant_type: Vec<String>,
    /// Response types [default: code].
    #[arg(long, value_delimiter = ',')]
    pub response_type: Vec<String>,
    /// Origins whose pages may use it.
    #[arg(long, value_delimiter = ',')]
    pub allowed_cors_origin: Vec<String>,
    /// Whom to ask about it.
    #[arg(long, value_delimiter = ',')]
    pub contact: Vec<String>,
    #[arg(long, help = "Its home page")]
    pub client_uri: Option<String>,
    #[arg(long, help = "Its logo")]
    pub logo_uri: Option<String>,
    #[arg(long, help = "Its privacy policy")]
    pub policy_uri: Option<String>,
    #[arg(long, help = "Its terms of service")]
    pub tos_uri: Option<String>,
    #[arg(long, help = "Where its public keys are")]
    pub jwks_uri: Option<String>,
    #[arg(long, help = "Anything, as a JSON object")]
    pub metadata: Option<String>,
    #[arg(long, value_delimiter = ',', help = "Where its users may go after a logout")]
    pub post_logout_callback: Vec<String>,
    #[arg(long, help = "Where the browser tells it of a logout")]
    pub frontchannel_logout_callback: Option<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", help = "It needs the session's id there")]
    pub frontchannel_logout_session_required: Option<bool>,
    #[arg(long, help = "Where the server tells it of a logout")]
    pub backchannel_logout_callback: Option<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", help = "It needs the session's id there")]
    pub backchannel_logout_session_required: Option<bool>,
    #[arg(long, value_delimiter = ',', help = "Where its request objects are")]
    pub request_uri: Vec<String>,
    #[arg(long, help = "The algorithm that signs its request objects")]
    pub request_object_signing_alg: Option<String>,
    #[arg(long, help = "Where its pairwise sector is described")]
    pub sector_identifier_uri: Option<String>,
    #[arg(long, help = "public or pairwise")]
    pub subject_type: Option<String>,
    #[arg(long, help = "How it authenticates [default: client_secret_basic]")]
    pub token_endpoint_auth_method: Option<String>,
    #[arg(long, help = "opaque or jwt")]
    pub access_token_strategy: Option<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", help = "Its users are not asked for consent")]
    pub skip_consent: Option<bool>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", help = "Nor whether they want to log out")]
    pub skip_logout_consent: Option<bool>,
}

impl ClientArgs {
    /// The members that are given, under the API's names.
    ///
    /// # Errors
    /// Where the metadata is no JSON.
    pub fn members(&self) -> Result<Map<String, Value>, serde_json::Error> {
        let metadata = self.metadata.as_deref().map(serde_json::from_str::<Value>).transpose()?;
        let texts = [
            ("client_secret", &self.secret),
            ("client_name", &self.name),
            ("owner", &self.owner),
            ("client_uri", &self.client_uri),
            ("logo_uri", &self.logo_uri),
            ("policy_uri", &self.policy_uri),
            ("tos_uri", &self.tos_uri),
            ("jwks_uri", &self.jwks_uri),
            ("frontchannel_logout_uri", &self.frontchannel_logout_callback),
            ("backchannel_logout_uri", &self.backchannel_logout_callback),
            ("request_object_signing_alg", &self.request_object_signing_alg),
            ("sector_identifier_uri", &self.sector_identifier_uri),
            ("subject_type", &self.subject_type),
            ("token_endpoint_auth_method", &self.token_endpoint_auth_method),
            ("access_token_strategy", &self.access_token_strategy),
        ];
        let lists = [
            ("audience", &self.audience),
            ("redirect_uris", &self.redirect_uri),
            ("grant_types", &self.grant_type),
            ("response_types", &self.response_type),
            ("allowed_cors_origins", &self.allowed_cors_origin),
            ("contacts", &self.contact),
            ("post_logout_redirect_uris", &self.post_logout_callback),
            ("request_uris", &self.request_uri),
        ];
        let flags = [
            ("frontchannel_logout_session_required", self.frontchannel_logout_session_required),
            ("backchannel_logout_session_required", self.backchannel_logout_session_required),
            ("skip_consent", self.skip_consent),
            ("skip_logout_consent", self.skip_logout_consent),
        ];
        let scope = (!self.scope.is_empty()).then(|| ("scope", json!(self.scope.join(" "))));
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, json!(text.as_ref()?))));
        let lists =
            lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (name, json!(list)));
        let flags = flags.into_iter().filter_map(|(name, flag)| Some((name, json!(flag?))));
        let metadata = metadata.map(|metadata| ("metadata", metadata));
        let members = texts.chain(lists).chain(flags).chain(scope).chain(metadata);
        Ok(members.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
