use super::*;

fn directory() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("data");
    (temporary, path)
}

fn cluster(identity: &Identity) -> Cluster {
    let key = SigningKey::from_bytes(&[1; 32]);
    let grant = Grant::sign(&key, "c", identity.incarnation(), identity.public_key(), "n");
    Cluster { id: "c".into(), keys: vec![key.verifying_key().to_bytes()], grant }
}

#[tokio::test]
async fn every_start_counts_and_keeps_the_incarnation() {
    let (_guard, path) = directory();
    let runtime = Runtime::real();
    let first = Identity::open(&runtime, &path, None, "n").await.unwrap();
    assert_eq!(first.counter(), 1);
    first.enter(cluster(&first)).await.unwrap();
    let second = Identity::open(&runtime, &path, None, "renamed").await.unwrap();
    assert_eq!(second.counter(), 2);
    assert_eq!((second.incarnation(), second.public_key()), (first.incarnation(), first.public_key()));
    assert_eq!(second.cluster(), first.cluster());
    assert_eq!(second.label(), "renamed");
    assert_ne!(second.nonce(), first.nonce());
    assert!(second.sign(b"m").verify(&first.public_key(), b"m"));
}

#[tokio::test]
async fn an_emptied_directory_is_a_new_incarnation_even_if_its_key_is_elsewhere() {
    let (guard, path) = directory();
    let runtime = Runtime::real();
    let key_path = guard.path().join("key");
    let first = Identity::open(&runtime, &path, Some(&key_path), "n").await.unwrap();
    runtime.disk.remove_all(&path).await.unwrap();
    let second = Identity::open(&runtime, &path, Some(&key_path), "n").await.unwrap();
    assert_ne!(first.incarnation(), second.incarnation());
    assert_ne!(first.public_key(), second.public_key());
    assert_eq!(second.counter(), 1);
}

#[tokio::test]
async fn reset_makes_it_anew() {
    let (_guard, path) = directory();
    let runtime = Runtime::real();
    let identity = Identity::open(&runtime, &path, None, "n").await.unwrap();
    let before = (identity.incarnation(), identity.public_key());
    identity.enter(cluster(&identity)).await.unwrap();
    identity.reset().await.unwrap();
    assert_ne!(before, (identity.incarnation(), identity.public_key()));
    assert_eq!(identity.cluster(), None);
    let again = Identity::open(&runtime, &path, None, "n").await.unwrap();
    assert_eq!((again.incarnation(), again.counter()), (identity.incarnation(), 2));
}

#[tokio::test]
async fn only_its_own_grant_lets_it_enter() {
    let (_guard, path) = directory();
    let runtime = Runtime::real();
    let identity = Identity::open(&runtime, &path, None, "n").await.unwrap();
    let good = cluster(&identity);
    let key = SigningKey::from_bytes(&[1; 32]);
    let foreign = Grant::sign(&key, "c", identity.incarnation() ^ 1, identity.public_key(), "n");
    for bad in [
        Cluster { grant: foreign, ..good.clone() },
        Cluster { keys: vec![[5; 32]], ..good.clone() },
        Cluster { id: "other".into(), ..good.clone() },
    ] {
        assert!(matches!(identity.enter(bad).await, Err(IdentityError::Grant)));
    }
    identity.enter(good).await.unwrap();
}

#[tokio::test]
async fn damage_and_foreign_keys_are_named() {
    let (guard, path) = directory();
    let runtime = Runtime::real();
    Identity::open(&runtime, &path, None, "n").await.unwrap();
    let other = guard.path().join("other");
    Identity::open(&runtime, &other, None, "m").await.unwrap();

    let error = Identity::open(&runtime, &path, Some(&other.join(KEY_FILE)), "n").await.unwrap_err();
    assert!(matches!(error, IdentityError::KeyForeign { .. }), "{error}");
    let error = Identity::open(&runtime, &path, Some(&guard.path().join("none")), "n").await.unwrap_err();
    assert!(matches!(error, IdentityError::KeyMissing { .. }), "{error}");

    let mut bytes = runtime.disk.read(&path.join(IDENTITY_FILE)).await.unwrap().to_vec();
    bytes[9] ^= 4;
    runtime.disk.replace(&path.join(IDENTITY_FILE), bytes.into()).await.unwrap();
    let error = Identity::open(&runtime, &path, None, "n").await.unwrap_err();
    assert!(matches!(error, IdentityError::File { error: NodeFileError::Damaged, .. }), "{error}");
}
