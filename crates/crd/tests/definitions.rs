//! The committed definitions are those that the types give.

use std::{env, fs, path::PathBuf};

use keywright_crd::{crd_yaml, crds, crds_yaml};

/// The documents of `keywright crds`, one file each.
#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds"));
    let maester = keywright_crd::maester::crd();
    let files = crds().into_iter().map(|crd| (format!("{}.yaml", crd.spec.names.plural), crd));
    for (file, crd) in files.chain([("maester/oauth2clients.hydra.ory.sh.yaml".to_owned(), maester)]) {
        let file = folder.join(file);
        let wanted = crd_yaml(&crd);
        if env::var_os("UPDATE_CRDS").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &wanted).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == wanted, "{} differs from the types: `make crds` writes it anew", file.display());
    }
}

#[test]
fn all_definitions_are_documents_of_one_stream() {
    let documents: Vec<String> = crds_yaml().split("---\n").map(str::to_owned).collect();
    assert_eq!(documents, crds().iter().map(crd_yaml).collect::<Vec<_>>());
}
