//! The data folder: what an API server would keep, as files that only their owner reads.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::FolderError;

/// How the names of files begin that are not written to their end. Hidden ones are never read.
const UNFINISHED: &str = ".unfinished-";

/// A folder for Secrets, resources and the database. Folders have mode 0700, files 0600; a file is replaced whole or
/// not at all.
#[derive(Debug, Clone)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// Opens the folder, and makes what is missing of it.
    ///
    /// The permissions of one that is there already are looked at and never changed: it may be a home by mistake.
    ///
    /// # Errors
    /// [`FolderError::NotPrivate`] and [`FolderError::NotOwned`] for a folder that others get at; [`FolderError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let data = Self(path.into());
        let made = private_dir(&data.0).and_then(|()| fs::metadata(&data.0));
        let found = made.map_err(|error| FolderError::Io { path: data.0.clone(), error })?;
        check_private(&data.0, found.uid(), found.mode(), rustix::process::geteuid().as_raw())?;
        for folder in [data.secrets_dir(), data.resources_dir()] {
            let prepared = private_dir(&folder).and_then(|()| remove_unfinished(&folder));
            prepared.map_err(|error| FolderError::Io { path: folder, error })?;
        }
        Ok(data)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where Secrets are.
    pub fn secrets_dir(&self) -> PathBuf {
        self.0.join("secrets")
    }

    /// Where resources are, with their status.
    pub fn resources_dir(&self) -> PathBuf {
        self.0.join("resources")
    }

    /// The file of a Secret.
    pub fn secret_path(&self, namespace: &str, name: &str) -> PathBuf {
        self.secrets_dir().join(file_name(namespace)).join(format!("{}.yaml", file_name(name)))
    }

    /// The file of a resource.
    pub fn resource_path(&self, namespace: &str, kind: &str, name: &str) -> PathBuf {
        let folder = self.resources_dir().join(file_name(namespace)).join(kind.to_lowercase());
        folder.join(format!("{}.yaml", file_name(name)))
    }

    /// The folder's id, made when it is first asked for: what the uid of `kube-system` is for a cluster.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn id(&self) -> Result<String, FolderError> {
        let path = self.0.join("id");
        match fs::read_to_string(&path) {
            Ok(id) => Ok(id.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = uuid::Uuid::new_v4().to_string();
                write_private(&path, id.as_bytes()).map_err(|error| FolderError::Io { path, error })?;
                Ok(id)
            }
            Err(error) => Err(FolderError::Io { path, error }),
        }
    }

    /// Reads a Secret; one whose file is no Secret any more has lost all its entries.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn read_secret(&self, namespace: &str, name: &str) -> io::Result<Option<Secret>> {
        let Some(bytes) = read(&self.secret_path(namespace, name))? else { return Ok(None) };
        let mut secret: Secret = serde_yaml::from_slice(&bytes).unwrap_or_default();
        secret.metadata.namespace = Some(namespace.to_owned());
        secret.metadata.name = Some(name.to_owned());
        secret.metadata.resource_version = Some(version_of(&bytes));
        // Whatever stands in this folder is ours, label or not.
        let labels = secret.metadata.labels.get_or_insert_default();
        labels.insert(crd::names::MANAGED.to_owned(), crd::names::LABEL_TRUE.to_owned());
        Ok(Some(secret))
    }

    /// Writes an object, replacing the file whole.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn write<T: Serialize>(path: &Path, object: &T) -> io::Result<()> {
        let yaml = serde_yaml::to_string(object).map_err(io::Error::other)?;
        write_private(path, yaml.as_bytes())
    }

    /// Removes a file that may be gone already.
    ///
    /// # Errors
    /// Where it is there and cannot be removed.
    pub(super) fn remove(path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All objects below a folder; files that cannot be read as one are reported and left alone.
    pub(super) fn read_all<T: DeserializeOwned>(folder: &Path) -> Vec<T> {
        let files = yaml_files(folder);
        let object = |path: PathBuf| match fs::read(&path).map(|bytes| serde_yaml::from_slice(&bytes)) {
            Ok(Ok(object)) => Some(object),
            Ok(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "not readable; it is made anew");
                None
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "not readable");
                None
            }
        };
        files.into_iter().filter_map(object).collect()
    }
}

/// The YAML and JSON files below a folder, in order; hidden ones are left out.
///
/// # Errors
/// None: a folder that cannot be read has none. [`list_files`] tells.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    list_files(folder).unwrap_or_default()
}

/// The YAML and JSON files below a folder, in order. Hidden ones are left out, and links to folders are not followed.
///
/// # Errors
/// Where some folder cannot be read.
pub(super) fn list_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        // A link to a folder may lead back here; a pipe would never end.
        if path.is_dir() {
            if !path.is_symlink() {
                files.extend(list_files(&path)?);
            }
        } else if path.is_file() && path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names in Kubernetes have no slash and are not dots, but the schema does not check a manifest's namespace.
fn file_name(name: &str) -> String {
    name.replace(['/', '\\', '\0'], "_").trim_start_matches('.').to_owned()
}

fn version_of(bytes: &[u8]) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, bytes).to_string()
}

/// Removes what processes that were killed while they wrote have left: it may hold secrets.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_unfinished(&entry.path())?;
        } else if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            DataFolder::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The folder's own permissions are all that counts: nobody gets past them to what is below.
fn check_private(path: &Path, owner: u32, mode: u32, user: u32) -> Result<(), FolderError> {
    if owner != user {
        return Err(FolderError::NotOwned { path: path.to_owned(), owner, user });
    }
    if mode & 0o077 != 0 {
        return Err(FolderError::NotPrivate { path: path.to_owned(), mode: mode & 0o7777 });
    }
    Ok(())
}

fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes beside the file, then renames: a reader sees the old content or the new, and a crash loses neither.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    private_dir(folder)?;
    // A temporary file has mode 0600 from the start; a process that is killed here leaves it behind.
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_names_cannot_leave_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder::open(root.path().join("data")).unwrap();
        let path = data.secret_path("../../x", "..");
        assert!(path.starts_with(data.secrets_dir()), "{}", path.display());
        let up = std::path::Component::ParentDir;
        assert!(path.components().all(|part| part != up), "{}", path.display());
        DataFolder::write(&path, &serde_json::json!({"a": 1})).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(data.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(data.id().unwrap(), data.id().unwrap());
    }

    #[test]
    fn a_folder_that_others_get_at_is_refused_with_what_to_do_and_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("by hand");
        fs::create_dir(&path).unwrap();
        for (mode, private) in [
            (0o755, false),
            (0o750, false),
            (0o710, false),
            (0o701, false),
            (0o770, false),
            (0o702, false),
            (0o700, true),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let opened = DataFolder::open(&path);
            assert_eq!(opened.is_ok(), private, "{mode:o}");
            if let Err(error) = opened {
                let text = error.to_string();
                assert!(text.contains(&format!("chmod 700 {}", path.display())), "{text}");
                assert!(text.contains(&format!("mode {mode:o}")), "{text}");
                assert_eq!(fs::read_dir(&path).unwrap().count(), 0, "nothing is put into it");
            }
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let error = check_private(Path::new("/data"), 1000, 0o40_700, 1001).unwrap_err();
        assert!(error.to_string().contains("another user (1000; this process is 1001)"), "{error}");
        assert!(check_private(Path::new("/data"), 1000, 0o40_700, 1000).is_ok());
    }

    #[test]
    fn a_file_that_is_no_secret_any_more_has_no_entries() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder::open(root.path().join("data")).unwrap();
        assert!(data.read_secret("default", "a").unwrap().is_none());
        write_private(&data.secret_path("default", "a"), b"{{{ not yaml").unwrap();
        let secret = data.read_secret("default", "a").unwrap().unwrap();
        assert!(secret.data.is_none() && secret.metadata.resource_version.is_some());
    }

    #[test]
    fn what_was_not_written_to_its_end_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder::open(root.path().join("data")).unwrap();
        let path = data.secret_path("default", "a");
        DataFolder::write(&path, &serde_json::json!({"a": 1})).unwrap();
        // What a process leaves that is killed in between.
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(path.parent().unwrap()).unwrap();
        let left = file.into_temp_path().keep().unwrap();
        DataFolder::open(root.path().join("data")).unwrap();
        assert!(path.exists() && !left.exists());
    }
}
