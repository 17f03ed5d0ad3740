//! Keys that somebody made elsewhere and hands over as a JWK.

use serde::Deserialize;

use crate::{Algorithm, Error, KeyDer, KeyId, PrivateKey, PublicJwk, key_der, members::Members};

/// A key pair, or a public key alone, that came as a JWK (RFC 7517 §4) and was found sound.
#[derive(Debug, Clone)]
pub enum ImportedKey {
    /// Both halves.
    Pair(PrivateKey),
    /// The public half alone; its JWK has `alg` and `kid`.
    Public {
        /// What the key is for.
        algorithm: Algorithm,
        /// Its name.
        key_id: KeyId,
        /// The key.
        jwk: PublicJwk,
    },
}

impl ImportedKey {
    /// Reads a JWK, private or public. A key without `kid` is named by its RFC 7638 thumbprint, one without `use` gets
    /// that of its `alg`; members that this crate does not know are dropped.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for symmetric keys, for those without `alg` or with one that does not fit, and for halves
    /// that do not belong together. No error holds a value of the JWK.
    pub fn from_jwk(json: &str) -> Result<Self, Error> {
        const NO_JWK: Error = Error::InvalidKey("not a JWK of a supported algorithm");
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            kty: std::borrow::Cow<'a, str>,
        }
        let kind: Kind<'_> = serde_json::from_str(json).map_err(|_| NO_JWK)?;
        if kind.kty == "oct" {
            return Err(Error::InvalidKey("`kty` is oct: symmetric keys are not kept"));
        }
        let members: Members = serde_json::from_str(json).map_err(|_| NO_JWK)?;
        Self::from_members(&members)
    }

    /// Reads a key in DER. Its name is its RFC 7638 thumbprint; what it is for is `algorithm`, or else what its kind
    /// suggests: RS256, ES256, ES384, ES512, EdDSA.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for what is no such key, and where `algorithm` does not fit it.
    pub fn from_der(der: KeyDer<'_>, algorithm: Option<Algorithm>) -> Result<Self, Error> {
        Self::from_members(&key_der::members(der, algorithm)?)
    }

    fn from_members(members: &Members) -> Result<Self, Error> {
        if members.d.is_some() {
            return PrivateKey::from_members(members).map(Self::Pair);
        }
        let jwk = PublicJwk::try_from(members)?;
        let algorithm = jwk.alg().ok_or(Error::InvalidKey("the JWK has no `alg`"))?;
        let key_id = jwk.kid().cloned().unwrap_or_else(|| jwk.thumbprint());
        let jwk = PublicJwk::new(algorithm, key_id.clone(), jwk.parameters().clone());
        Ok(Self::Public { algorithm, key_id, jwk })
    }

    /// What the key is for.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Pair(key) => key.algorithm(),
            Self::Public { algorithm, .. } => *algorithm,
        }
    }

    /// The key's name.
    pub fn key_id(&self) -> &KeyId {
        match self {
            Self::Pair(key) => key.key_id(),
            Self::Public { key_id, .. } => key_id,
        }
    }

    /// The public half, with `use`, `alg` and `kid`.
    pub fn public_jwk(&self) -> &PublicJwk {
        match self {
            Self::Pair(key) => key.public_jwk(),
            Self::Public { jwk, .. } => jwk,
        }
    }

    /// The private half, where it is there.
    pub fn private(&self) -> Option<&PrivateKey> {
        match self {
            Self::Pair(key) => Some(key),
            Self::Public { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RsaBits, SigningAlgorithm};

    fn pair() -> PrivateKey {
        PrivateKey::generate(SigningAlgorithm::Es256.into(), RsaBits::B2048).unwrap()
    }

    #[test]
    fn both_halves_or_the_public_one_are_read_and_named() {
        let pair = pair();
        let both = ImportedKey::from_jwk(&pair.to_jwk().unwrap()).unwrap();
        assert!(both.private().is_some());
        assert_eq!((both.key_id(), both.public_jwk()), (pair.key_id(), pair.public_jwk()));
        let mut public = serde_json::to_value(pair.public_jwk()).unwrap();
        let alone = ImportedKey::from_jwk(&public.to_string()).unwrap();
        assert!(alone.private().is_none());
        assert_eq!((alone.algorithm(), alone.public_jwk()), (pair.algorithm(), pair.public_jwk()));
        for member in ["kid", "use"] {
            public.as_object_mut().unwrap().remove(member);
        }
        let bare = ImportedKey::from_jwk(&public.to_string()).unwrap();
        assert_eq!(bare.public_jwk(), pair.public_jwk(), "what it lacks follows from the rest");
    }

    #[test]
    fn what_cannot_be_kept_is_refused_without_telling_its_value() {
        let pair = pair();
        let jwk: serde_json::Value = serde_json::from_str(&pair.to_jwk().unwrap()).unwrap();
        let with = |member: &str, value: serde_json::Value| {
            let mut changed = jwk.clone();
            changed[member] = value;
            changed.to_string()
        };
        for (json, why) in [
            (r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#.to_owned(), "symmetric keys are not kept"),
            ("[]".to_owned(), "not a JWK"),
            ("{}".to_owned(), "not a JWK"),
            (with("alg", "HS256".into()), "not a JWK"),
            (with("alg", "ES384".into()), "does not fit the key"),
            (with("alg", serde_json::Value::Null), "no `alg`"),
            (with("use", "enc".into()), "does not fit `use`"),
            (with("d", 7.into()), "not a JWK"),
            (with("d", jwk["x"].clone()), "not an EC key pair"),
        ] {
            let error = ImportedKey::from_jwk(&json).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
            assert!(!error.contains("c2VjcmV0") && !error.contains(jwk["d"].as_str().unwrap()), "{error}");
        }
    }

    /// Made by OpenSSL: `openssl genpkey -algorithm ed25519`, `openssl ecparam -genkey -name secp384r1`.
    #[test]
    fn keys_of_other_programs_are_read() {
        let der =
            |text: &str| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
        let ed25519 = der("MC4CAQAwBQYDK2VwBCIEICru3fQZ2dPZw5KncuaiHXoyri433d/cVsCy6Wn6F2Yw");
        let ed25519_public = der("MCowBQYDK2VwAyEAVojePaBp8ugF8OQIcEbo83uWcZgdz7+EzzPaV+i5SH8=");
        let sec1 = der(
            "MIGkAgEBBDDYHM0oHGPGQQX+oPOzaSFKuqOaNHTHApaF9dQBZ3r/THt5VpCN56hlnrdOumUbkU6gBwYFK4EEACKhZANiAAQt\
             C5hs2mMHaDmydwlS55dWysJO66Jf/mc6QxL3t4iBGmlpwdY8Qud58tjgtOPpdYgUbxvcOtOylVOaWDRpgSE71I7iJBTd5Qb6\
             fDE3BDSOa8QTnRNuT6K8PF4U9um9QAw=",
        );
        let p384_public = der(
            "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAELQuYbNpjB2g5sncJUueXVsrCTuuiX/5nOkMS97eIgRppacHWPELnefLY4LTj6XWI\
             FG8b3DrTspVTmlg0aYEhO9SO4iQU3eUG+nwxNwQ0jmvEE50Tbk+ivDxeFPbpvUAM",
        );
        let pkcs1 = der(
            "MIIEogIBAAKCAQEA09jlmC+Oedp+o/qsDOUxlAqgiFS/n2e2I2Z22lkV4b3YkHM1XhT++CnVzVL1Tyd4BRhlA96UFrV71M26\
             ptJX9a4AdAPVDHyrlM7dSmVOt8kpZ6VXuttfLfeX7cI/ZErCASPYVgJsfYFySnyk92dRgA7+ixNJPsUY+M0rP9L00aeRVau0\
             GWd3qD0nRdZjHXMQiCKty+36t1F1XXKWlbnLdEhTjNJW4vSU6e3b6slh0Ez44QBmdkNJ5osyR3TceRoz8VUfHp0q1Zl3A8w/\
             LDQAxvgMMBbkrxoQemyq7/lwU+yPAP0zLX8+jJ6nAmi/eiySbikSAvPiRTNmacJf9JFTcwIDAQABAoIBAFptVo+wGRKFhBIt\
             0ZwNhyyonp6jAkqiQ/p3ZdtNNIxv842xR8H5l15JyUQEGccoU1BledT9gNvyqsGK8ZX86mPp2rKq4hma68iwxn/Xn5LOsLhX\
             uQt/UXD3I2hvRoziZk6DRPhtv26RPz5xVx9uADl37QpjeJvtGPw247OyMiN9Ky4BF18MtpGZRsjoGTKyFeGmI9PpuSwZ1jRx\
             BNsL+G/4jelXe4DBIOwvs3ZNe4fHOS3WZ8peWCswJlpPqtfRDzWnHYu2GwhotZYEwSxY9FIIFSuo87/wpmRk42tFyeak1Xhb\
             nMMIHAhgFzitM+HzMY58PItAgxLNRpw9Bz1/eXECgYEA7fOk91/cdVJiz/ZCTFXhSRduG9kJ+rLJKT6lXDJ6U+O4tXQrz1Ll\
             qbNlfI9QiyBGKllDdrbNiXy8QXdibBptRrSSb2UYpjOO3uSNOw0uQlLZes08xAeNrmEGczAWqi1ISoPDQh3Ito0fH/1MvAw+\
             nJaE5Q0TAoJDsFGpAOO59jECgYEA4+pgaALK/kBGmvRsrazp/JfCA2/SfQ1SccGyBgBHhS6ksZ8OFfnZc4tp177rJKKTm30o\
             klf//A5P1IuMN44He2my8vp2VzX9tZroXJk57VXUcQCfPrsZzqeiOU3EwawLq53kCKNa3Pi4dxqE8xasFwlibuZEFps0ChtE\
             y0A85uMCgYBh1Am+qmq40WZOmbAoMiatJjTevhycNWT+0AKsJRSl6LnH4DsiwbIqUtcmnsU+bcZrIsfZxs45+E5tm+ebCkJj\
             D1ok8itwKUJT4SMvY/vgyK8hDcAt1+0oBDvin6Kx1GwkNofQZu5eHybsv/cMWPxk5H0+rmFiZqvtkaUp+HY8AQKBgCcHoQDO\
             0aJesXihuOa5AMzv1BqwkJQ3rtGqQOlELPtCtJNyUIA07CccTcDTggMhEDQFZ+g/x6eLb+JPD3EIEoHw5OM1PwTKSytJXtdU\
             qhXZp+q+F4cvlUjNbjtv9OzRoKIABOfxyYKj2TsUQIY8cLX1NnUVW72fUHcWml5QHt3PAoGAJ3S4ibV+PZJ7vC9AvsLitcG5\
             aiDKDC91K5m/h4gVvvy+H8KmNQX4ykoAsWyoHrEdSPvQ9vcsJmH9SfnWcDj3POhIgSgX4ssu8ZEnpnvL48Cx1pilUNg/qoWB\
             mbElndWGeCYnYBBKEllProzQIVEPloelICBkrludjNCrjL5OiBY=",
        );
        let pkcs8 = der(
            "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDT2OWYL4552n6j+qwM5TGUCqCIVL+fZ7YjZnbaWRXhvdiQ\
             czVeFP74KdXNUvVPJ3gFGGUD3pQWtXvUzbqm0lf1rgB0A9UMfKuUzt1KZU63ySlnpVe6218t95ftwj9kSsIBI9hWAmx9gXJK\
             fKT3Z1GADv6LE0k+xRj4zSs/0vTRp5FVq7QZZ3eoPSdF1mMdcxCIIq3L7fq3UXVdcpaVuct0SFOM0lbi9JTp7dvqyWHQTPjh\
             AGZ2Q0nmizJHdNx5GjPxVR8enSrVmXcDzD8sNADG+AwwFuSvGhB6bKrv+XBT7I8A/TMtfz6MnqcCaL96LJJuKRIC8+JFM2Zp\
             wl/0kVNzAgMBAAECggEAWm1Wj7AZEoWEEi3RnA2HLKienqMCSqJD+ndl2000jG/zjbFHwfmXXknJRAQZxyhTUGV51P2A2/Kq\
             wYrxlfzqY+nasqriGZrryLDGf9efks6wuFe5C39RcPcjaG9GjOJmToNE+G2/bpE/PnFXH24AOXftCmN4m+0Y/Dbjs7IyI30r\
             LgEXXwy2kZlGyOgZMrIV4aYj0+m5LBnWNHEE2wv4b/iN6Vd7gMEg7C+zdk17h8c5LdZnyl5YKzAmWk+q19EPNacdi7YbCGi1\
             lgTBLFj0UggVK6jzv/CmZGTja0XJ5qTVeFucwwgcCGAXOK0z4fMxjnw8i0CDEs1GnD0HPX95cQKBgQDt86T3X9x1UmLP9kJM\
             VeFJF24b2Qn6sskpPqVcMnpT47i1dCvPUuWps2V8j1CLIEYqWUN2ts2JfLxBd2JsGm1GtJJvZRimM47e5I07DS5CUtl6zTzE\
             B42uYQZzMBaqLUhKg8NCHci2jR8f/Uy8DD6cloTlDRMCgkOwUakA47n2MQKBgQDj6mBoAsr+QEaa9GytrOn8l8IDb9J9DVJx\
             wbIGAEeFLqSxnw4V+dlzi2nXvuskopObfSiSV//8Dk/Ui4w3jgd7abLy+nZXNf21muhcmTntVdRxAJ8+uxnOp6I5TcTBrAur\
             neQIo1rc+Lh3GoTzFqwXCWJu5kQWmzQKG0TLQDzm4wKBgGHUCb6qarjRZk6ZsCgyJq0mNN6+HJw1ZP7QAqwlFKXoucfgOyLB\
             sipS1yaexT5txmsix9nGzjn4Tm2b55sKQmMPWiTyK3ApQlPhIy9j++DIryENwC3X7SgEO+KforHUbCQ2h9Bm7l4fJuy/9wxY\
             /GTkfT6uYWJmq+2RpSn4djwBAoGAJwehAM7Rol6xeKG45rkAzO/UGrCQlDeu0apA6UQs+0K0k3JQgDTsJxxNwNOCAyEQNAVn\
             6D/Hp4tv4k8PcQgSgfDk4zU/BMpLK0le11SqFdmn6r4Xhy+VSM1uO2/07NGgogAE5/HJgqPZOxRAhjxwtfU2dRVbvZ9Qdxaa\
             XlAe3c8CgYAndLiJtX49knu8L0C+wuK1wblqIMoML3Urmb+HiBW+/L4fwqY1BfjKSgCxbKgesR1I+9D29ywmYf1J+dZwOPc8\
             6EiBKBfiyy7xkSeme8vjwLHWmKVQ2D+qhYGZsSWd1YZ4JidgEEoSWU+ujNAhUQ+Wh6UgIGSuW52M0KuMvk6IFg==",
        );
        let rsa_public = der(
            "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA09jlmC+Oedp+o/qsDOUxlAqgiFS/n2e2I2Z22lkV4b3YkHM1XhT+\
             +CnVzVL1Tyd4BRhlA96UFrV71M26ptJX9a4AdAPVDHyrlM7dSmVOt8kpZ6VXuttfLfeX7cI/ZErCASPYVgJsfYFySnyk92dR\
             gA7+ixNJPsUY+M0rP9L00aeRVau0GWd3qD0nRdZjHXMQiCKty+36t1F1XXKWlbnLdEhTjNJW4vSU6e3b6slh0Ez44QBmdkNJ\
             5osyR3TceRoz8VUfHp0q1Zl3A8w/LDQAxvgMMBbkrxoQemyq7/lwU+yPAP0zLX8+jJ6nAmi/eiySbikSAvPiRTNmacJf9JFT\
             cwIDAQAB",
        );
        for (private, public, algorithm) in [
            (KeyDer::Pkcs8(&ed25519), KeyDer::Spki(&ed25519_public), "EdDSA"),
            (KeyDer::Sec1(&sec1), KeyDer::Spki(&p384_public), "ES384"),
            (KeyDer::Pkcs1(&pkcs1), KeyDer::Spki(&rsa_public), "RS256"),
            (KeyDer::Pkcs8(&pkcs8), KeyDer::Spki(&rsa_public), "RS256"),
        ] {
            let pair = ImportedKey::from_der(private, None).unwrap();
            let public = ImportedKey::from_der(public, None).unwrap();
            assert!(pair.private().is_some() && public.private().is_none());
            assert_eq!(pair.public_jwk(), public.public_jwk());
            assert_eq!(pair.algorithm().as_str(), algorithm);
        }
        let other = ImportedKey::from_der(KeyDer::Pkcs1(&pkcs1), Some("PS512".parse().unwrap())).unwrap();
        assert_eq!(other.algorithm().as_str(), "PS512");
        let unfit = ImportedKey::from_der(KeyDer::Sec1(&sec1), Some("ES256".parse().unwrap()));
        assert!(unfit.unwrap_err().to_string().contains("does not fit the key"));
        assert!(ImportedKey::from_der(KeyDer::Pkcs8(&sec1), None).is_err());
        assert!(ImportedKey::from_der(KeyDer::Spki(&pkcs8), None).is_err());
    }

    #[test]
    fn a_pair_can_be_given_another_name() {
        let pair = pair().named(KeyId::new("orders"));
        assert_eq!(
            (pair.key_id().as_str(), pair.public_jwk().kid()),
            ("orders", Some(&KeyId::new("orders")))
        );
        assert!(pair.to_jwk().unwrap().contains(r#""kid":"orders""#));
    }
}
