//! The command line: Hydra's grammar where Hydra has the command.

pub mod api;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use crd::GoDuration;

/// OAuth 2.0 and OpenID Connect for Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "keywright", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the authorization server.
    Serve(ServeArgs),
    /// Reconcile the custom resources of a cluster.
    Operator(OperatorArgs),
    /// Run server and reconcilers on a folder of manifests, with a database of its own.
    Dev(DevArgs),
    /// Make the Secret of an installation on a cluster, unless it is there.
    Init(InitArgs),
    /// Apply or show database migrations.
    Migrate(MigrateArgs),
    /// The keys of the installation.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Print the CustomResourceDefinitions.
    Crds,
    /// Print Hydra Maester's resources as ours.
    Convert(ConvertArgs),
    /// Register something at a running server.
    #[command(subcommand)]
    Create(api::CreateCommand),
    /// Show something that a running server has.
    #[command(subcommand)]
    Get(api::GetCommand),
    /// List what a running server has.
    #[command(subcommand)]
    List(api::ListCommand),
    /// Change something at a running server.
    #[command(subcommand)]
    Update(api::UpdateCommand),
    /// Delete something at a running server.
    #[command(subcommand)]
    Delete(api::DeleteCommand),
    /// Register what files hold at a running server, or take over another server's database.
    #[command(subcommand)]
    Import(api::ImportCommand),
    /// Ask a running server about a token.
    #[command(subcommand)]
    Introspect(api::IntrospectCommand),
    /// End a token at a running server.
    #[command(subcommand)]
    Revoke(api::RevokeCommand),
    /// Try a flow.
    #[command(subcommand)]
    Perform(api::PerformCommand),
    /// Remove what has expired, once; a running server does so by itself every five minutes.
    Janitor(JanitorArgs),
    /// Print a script that completes commands for a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version.
    Version,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file (.yaml, .json, .toml); may be given several times, later ones win.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Development mode: allows an http issuer.
    #[arg(long)]
    pub dev: bool,
    /// Accepted for Hydra's sake; nothing is ever reported anywhere.
    #[arg(long, hide = true)]
    pub sqa_opt_out: bool,
}

impl ConfigArgs {
    /// Those that stand before a command's last word, and after it.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.files.extend(later.files);
        Self { dev: self.dev || later.dev, sqa_opt_out: self.sqa_opt_out || later.sqa_opt_out, ..self }
    }
}

/// Which of the two APIs to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Api {
    /// Both.
    #[default]
    All,
    /// The public one.
    Public,
    /// The admin one.
    Admin,
}

/// `keywright serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Which API to serve.
    #[arg(value_enum, default_value_t)]
    pub api: Api,
    /// How long it goes on after SIGTERM, while it says that it is not ready: so long load balancers have to send
    /// requests elsewhere.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub shutdown_delay: GoDuration,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `keywright operator`.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// The instance whose resources are reconciled (`spec.instance`).
    #[arg(long, default_value = "default")]
    pub instance: String,
    /// The operator's own namespace, in which key sets are honoured. By default $POD_NAMESPACE, else the service
    /// account's, else "keywright".
    #[arg(long)]
    pub namespace: Option<String>,
    /// Further namespaces in which key sets are honoured.
    #[arg(long, value_delimiter = ',')]
    pub key_set_namespaces: Vec<String>,
    /// Further namespaces, beside the operator's own, in which `adopt: true` takes over clients that no resource owns.
    #[arg(long, value_delimiter = ',')]
    pub adoption_namespaces: Vec<String>,
    /// How long a deletion waits for the database, before the resource goes and its row is left to the orphan sweep.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub finalizer_timeout: GoDuration,
    /// Lets the orphan sweep delete rows even where more than a fifth of them have lost their resource at once.
    #[arg(long)]
    pub allow_mass_deletion: bool,
    /// The namespaces that are watched, each by itself, so that rights in them are enough; the operator's own is watched
    /// only if it is among them. By default all are, at once.
    #[arg(long, value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Looks after the resources of namespaces with these labels alone, for instance "team in (a, b)", and of the
    /// operator's own.
    #[arg(long, value_name = "LABELS", conflicts_with = "watch_namespaces")]
    pub namespace_selector: Option<String>,
    /// Looks after Hydra Maester's resources (hydra.ory.sh/v1alpha1) as well. Maester itself must not run then.
    #[arg(long)]
    pub compat_maester: bool,
    /// The addresses in spec.hydraAdmin.url of such resources that mean this installation; others are refused.
    #[arg(long, value_name = "URL", value_delimiter = ',', requires = "compat_maester")]
    pub compat_maester_admin_urls: Vec<String>,
    /// The namespaces in which a Secret of such a resource may name any client id that is free; elsewhere it has to begin
    /// with the namespace's name and a dot, unless the resource had it before. By default it may everywhere, as with Maester.
    #[arg(long, value_delimiter = ',', requires = "compat_maester")]
    pub compat_maester_id_namespaces: Option<Vec<String>>,
    /// Entries of the Secrets of such resources.
    #[command(flatten)]
    pub maester_keys: MaesterKeys,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `keywright dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Folder with OAuth2Client, JsonWebKeySet and Secret manifests; changes take effect at once.
    #[arg(long, value_name = "DIR")]
    pub manifests: PathBuf,
    /// Folder for the database, the system secret, Secrets and statuses.
    #[arg(long, value_name = "DIR", default_value = ".keywright")]
    pub data: PathBuf,
    /// File with the users who can log in on the built-in page, instead of alice and bob (config/dev/users.yaml).
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
    /// Where the sample application listens, on loopback; by default 127.0.0.1:5555.
    #[arg(long, value_name = "ADDRESS|off")]
    pub sample_app: Option<SampleApp>,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `--sample-app`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleApp {
    /// It listens there.
    At(SocketAddr),
    /// There is none.
    Off,
}

impl FromStr for SampleApp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<SocketAddr>() {
            // It shows tokens to whoever logs in, and its sessions travel unencrypted.
            Ok(address) if address.ip().is_loopback() => Ok(Self::At(address)),
            Ok(_) => Err("the sample app listens on a loopback address only"),
            Err(_) if text == "off" => Ok(Self::Off),
            Err(_) => Err("write an address as 127.0.0.1:5555, or off"),
        }
    }
}

/// `keywright convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Manifests, YAML or JSON, with the Secrets that the resources name: these hold the clients' ids. By default
    /// standard input.
    pub files: Vec<PathBuf>,
    /// The instance that the clients are for (`spec.instance`).
    #[arg(long, default_value = "default")]
    pub instance: String,
    /// Entries of the Secrets.
    #[command(flatten)]
    pub keys: MaesterKeys,
}

/// The entries of the Secrets that Hydra Maester's resources name, where Maester was told others.
#[derive(Debug, Clone, Args)]
pub struct MaesterKeys {
    /// Entry with the client id in the Secrets of Hydra Maester's resources.
    #[arg(long, env = "CLIENT_ID_KEY", default_value = "CLIENT_ID")]
    pub client_id_key: String,
    /// Entry with the client secret in the Secrets of Hydra Maester's resources.
    #[arg(long, env = "CLIENT_SECRET_KEY", default_value = "CLIENT_SECRET")]
    pub client_secret_key: String,
}

impl From<&MaesterKeys> for crd::SecretKeys {
    fn from(keys: &MaesterKeys) -> Self {
        Self {
            client_id: keys.client_id_key.clone(),
            client_secret: keys.client_secret_key.clone(),
            issuer: None,
        }
    }
}

/// `keywright init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The Secret. One that exists is never changed.
    #[arg(long, value_name = "NAME")]
    pub secret: String,
    /// The entry with the system secret (`secrets.system`).
    #[arg(long, default_value = "secretsSystem")]
    pub key: String,
    /// The Secret's namespace; by default that of the service account or of the kubeconfig's context.
    #[arg(long)]
    pub namespace: Option<String>,
}

/// `keywright migrate …`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Where the configuration comes from, as Hydra's users write it before `sql`.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which database.
    #[command(subcommand)]
    pub database: MigrateDatabase,
}

/// What `keywright migrate` migrates.
#[derive(Debug, Subcommand)]
pub enum MigrateDatabase {
    /// `migrate sql [up|status] [-e] [--yes] [DSN]`
    Sql(MigrateSqlArgs),
}

/// `keywright migrate sql`.
#[derive(Debug, Args)]
pub struct MigrateSqlArgs {
    /// `up` (the default) or `status`, and the DSN where it does not come from the configuration.
    #[arg(value_name = "up|status|DSN", num_args = 0..=2)]
    pub words: Vec<String>,
    /// Read the DSN from the environment; a DSN that is given wins.
    #[arg(short = 'e', long)]
    pub read_from_env: bool,
    /// Do not ask. Nothing ever asks; accepted for Hydra's sake.
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `keywright janitor`. What Hydra's flags choose or limit does not arise: all that has expired goes, a little at a time.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of Hydra's")]
pub struct JanitorArgs {
    /// The DSN where it does not come from the configuration.
    pub dsn: Option<String>,
    /// Read the DSN from the environment; a DSN that is given wins.
    #[arg(short = 'e', long)]
    pub read_from_env: bool,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub tokens: bool,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub requests: bool,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub grants: bool,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub limit: Option<u64>,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub batch_size: Option<u64>,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub keep_if_younger: Option<String>,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub access_lifespan: Option<String>,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub refresh_lifespan: Option<String>,
    /// Accepted for Hydra's sake.
    #[arg(long, hide = true)]
    pub consent_request_lifespan: Option<String>,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// `keywright keys …`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Wrap the root key by the first of secrets.system; needed before the former secret is taken out of the list.
    Reseal(ConfigArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_sample_app_listens_on_loopback_or_not_at_all() {
        for (text, at) in [
            ("127.0.0.1:5556", Ok(SampleApp::At(([127, 0, 0, 1], 5556).into()))),
            ("off", Ok(SampleApp::Off)),
            ("0.0.0.0:5555", Err("the sample app listens on a loopback address only")),
            ("5555", Err("write an address as 127.0.0.1:5555, or off")),
        ] {
            assert_eq!(text.parse::<SampleApp>(), at, "{text}");
        }
    }

    #[test]
    fn hydras_ways_to_write_a_migration_parse() {
        for line in [
            "keywright migrate sql -e --yes",
            "keywright migrate sql -e --yes postgres://user:pass@hydra-db:5432/hydra",
            "keywright migrate sql up -e -y",
            "keywright migrate sql status postgres://db/x",
            "keywright migrate sql -c /etc/config.yml -e --yes",
            "keywright migrate -c /etc/config.yml sql up -e --yes",
            "keywright serve all --dev -c a.yml -c b.yml --sqa-opt-out",
            "keywright serve",
            "keywright create oauth2-client --endpoint http://127.0.0.1:4445 --grant-type a,b --response-type code",
            "keywright create client -e http://127.0.0.1:4445 --skip-consent --format json -q -H a:b",
            "keywright create client --frontchannel-logout-session-required --backchannel-logout-session-required",
            "keywright get client a b --format yaml",
            "keywright list oauth2-clients --page-size 10 --page-token x",
            "keywright update oauth2-client a --name b --skip-consent=false",
            "keywright delete oauth2-client a b",
            "keywright delete access-tokens a",
            "keywright import client a.json",
            "keywright import hydra --from postgres://db/hydra --hydra-system-secret-file a --dry-run -c a.yml",
            "keywright introspect token t --scope a,b",
            "keywright revoke token t --client-id a --client-secret b",
            "keywright perform client-credentials --client-id a --client-secret b --scope c --audience d",
            "keywright create jwk set kid --alg ES256 --use sig --public",
            "keywright create jwks set",
            "keywright get jwk a b --public",
            "keywright delete jwks a b",
            "keywright import jwk set a.json b.pem --alg RS256 --use sig",
            "keywright perform authorization-code --client-id a --client-secret b --scope openid -p 4446 --no-open \
             --max-age -1 --response-mode form_post --prompt login,consent --state 12345678 --skip --no-shutdown \
             --redirect http://127.0.0.1:4446/callback --auth-url http://a/auth --token-url http://a/token",
            "keywright perform device-code --client-id a --device-auth-url http://a/device --token-url http://a/token",
            "keywright janitor --tokens --requests --grants -e --limit 5 --batch-size 2 postgres://db/x",
            "keywright janitor --tokens --keep-if-younger 1h --access-lifespan 1h --refresh-lifespan 2h \
             --consent-request-lifespan 1h",
            "keywright completion bash",
            "keywright keys reseal -c a.yml",
            "keywright operator --instance b --key-set-namespaces x,y",
            "keywright convert a.yaml b.yaml --client-id-key client_id",
            "keywright operator --compat-maester --compat-maester-admin-urls http://hydra-admin \
             --compat-maester-id-namespaces a,b",
            "keywright init --secret s --key k --namespace n",
            "keywright operator --watch-namespaces a,b --adoption-namespaces a --finalizer-timeout 1h30m",
            "keywright operator --namespace-selector team=a --allow-mass-deletion",
        ] {
            Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
