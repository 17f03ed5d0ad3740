//! `keywright init`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use jose::Entropy;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};

use super::print;
use crate::cli::InitArgs;
use crate::config;

/// Makes a Secret with a new system secret. One that is there is left as it is, whatever made it: whoever creates
/// first wins, and nobody overwrites.
pub(super) async fn run(args: InitArgs) -> Result<()> {
    let client = Client::try_default().await.context("no cluster to work on")?;
    let namespace = args.namespace.as_deref().unwrap_or(client.default_namespace()).to_owned();
    let secrets = Api::<Secret>::namespaced(client, &namespace);
    let made = secrets.create(&PostParams::default(), &secret(&args)).await;
    let name = format!("{namespace}/{}", args.secret);
    match made {
        Ok(_) => {
            print(&format!("The Secret {name} was made. Keep it: the database cannot be read without it.\n"))
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let there =
                secrets.get(&args.secret).await.with_context(|| format!("reading the Secret {name}"))?;
            if !has(&there, &args.key) {
                bail!("the Secret {name} exists and has no {}; add it, or name another Secret", args.key);
            }
            print(&format!("The Secret {name} exists, and stays as it is.\n"))
        }
        Err(error) => Err(error).with_context(|| format!("making the Secret {name}")),
    }
}

fn secret(args: &InitArgs) -> Secret {
    let value = config::new_system_secret(&Entropy::system());
    Secret {
        metadata: ObjectMeta { name: Some(args.secret.clone()), ..ObjectMeta::default() },
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([(args.key.clone(), ByteString(value.as_bytes().to_vec()))])),
        ..Secret::default()
    }
}

fn has(secret: &Secret, key: &str) -> bool {
    secret.data.as_ref().and_then(|data| data.get(key)).is_some_and(|value| !value.0.is_empty())
}
