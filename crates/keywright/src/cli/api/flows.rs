//! The commands that try flows with a browser.

use clap::{Args, ValueEnum};
use url::Url;

use super::{ApiArgs, ClientCredentialsArgs};

/// What each flow needs: who asks whom for what.
#[derive(Debug, Args)]
pub struct FlowArgs {
    /// The client.
    #[command(flatten)]
    pub client: ClientCredentialsArgs,
    /// Scopes to ask for.
    #[arg(long, value_delimiter = ',', default_value = "offline,openid")]
    pub scope: Vec<String>,
    /// Audiences to ask for.
    #[arg(long, value_delimiter = ',')]
    pub audience: Vec<String>,
    /// The token endpoint, where it is not below --endpoint.
    #[arg(long, value_name = "URL")]
    pub token_url: Option<Url>,
    /// How the server is reached.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `keywright perform authorization-code`.
#[derive(Debug, Args)]
pub struct AuthorizationCodeArgs {
    /// What is asked for, and by whom.
    #[command(flatten)]
    pub flow: FlowArgs,
    /// The port on this machine that the browser comes back to.
    #[arg(short, long, default_value_t = 4446)]
    pub port: u16,
    /// The redirect URI that is registered, where it is not http://127.0.0.1:PORT/callback but leads there.
    #[arg(long, value_name = "URL")]
    pub redirect: Option<Url>,
    /// The authorization endpoint, where it is not below --endpoint.
    #[arg(long, value_name = "URL")]
    pub auth_url: Option<Url>,
    /// The state, instead of a random one.
    #[arg(long)]
    pub state: Option<String>,
    /// Ask for login or consent anew, or for neither: login, consent, none.
    #[arg(long, value_delimiter = ',')]
    pub prompt: Vec<String>,
    /// Seconds that a login may be old; by default any.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    pub max_age: i64,
    /// How the browser brings the code back.
    #[arg(long, value_enum, default_value_t = ResponseMode::Query)]
    pub response_mode: ResponseMode,
    /// Do not open a browser.
    #[arg(long)]
    pub no_open: bool,
    /// Stay and go on with the next login.
    #[arg(long)]
    pub no_shutdown: bool,
    /// Go to the server at once, without the page that says what is asked for.
    #[arg(long)]
    pub skip: bool,
}

/// `--response-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResponseMode {
    /// In the query of a redirect.
    Query,
    /// In a form that the browser sends.
    #[value(name = "form_post")]
    FormPost,
}

/// `keywright perform device-code`.
#[derive(Debug, Args)]
pub struct DeviceCodeArgs {
    /// What is asked for, and by whom.
    #[command(flatten)]
    pub flow: FlowArgs,
    /// The device authorization endpoint, where it is not below --endpoint.
    #[arg(long, value_name = "URL")]
    pub device_auth_url: Option<Url>,
}
