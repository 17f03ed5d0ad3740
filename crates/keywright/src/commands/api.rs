//! The commands that ask a running server.

mod authorization_code;
mod clients;
mod connection;
mod device_code;
mod import_hydra;
mod key_files;
mod keys;
mod output;
mod tokens;

use anyhow::Result;

use crate::cli::api::{CreateCommand, DeleteCommand, GetCommand, ImportCommand, PerformCommand};

pub(super) use clients::{list, update};
pub(super) use tokens::{introspect, revoke};

pub(super) async fn create(command: CreateCommand) -> Result<()> {
    match command {
        CreateCommand::Client(args) => clients::create(*args).await,
        CreateCommand::Key(args) => keys::create(&args).await,
    }
}

pub(super) async fn get(command: GetCommand) -> Result<()> {
    match command {
        GetCommand::Client(args) => clients::get(args).await,
        GetCommand::Keys(args) => keys::get(&args).await,
    }
}

pub(super) async fn delete(command: DeleteCommand) -> Result<()> {
    match command {
        DeleteCommand::Client(args) => clients::delete(&args).await,
        DeleteCommand::AccessTokens { client_id, api } => clients::delete_tokens(&client_id, &api).await,
        DeleteCommand::Keys(args) => keys::delete(&args).await,
    }
}

pub(super) async fn import(command: ImportCommand) -> Result<()> {
    match command {
        ImportCommand::Client { files, api } => clients::import(files, &api).await,
        ImportCommand::Keys(args) => keys::import(&args).await,
        ImportCommand::Hydra(args) => import_hydra::run(*args).await,
    }
}

pub(super) async fn perform(command: PerformCommand) -> Result<()> {
    match command {
        PerformCommand::ClientCredentials { client, scope, audience, api } => {
            tokens::client_credentials(&client, (&scope, &audience), &api).await
        }
        PerformCommand::AuthorizationCode(args) => authorization_code::run(*args).await,
        PerformCommand::DeviceCode(args) => device_code::run(&args).await,
    }
}
