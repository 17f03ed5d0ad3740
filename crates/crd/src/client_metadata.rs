//! Fixed texts of client metadata (RFC 7591 section 2, OpenID Connect Dynamic Registration).

use crate::string_enum::string_enum;

string_enum! {
    /// A way to get tokens.
    pub enum GrantType {
        /// Authorization code (RFC 6749 section 4.1).
        AuthorizationCode = "authorization_code",
        /// Refresh (RFC 6749 section 6).
        RefreshToken = "refresh_token",
        /// Client credentials (RFC 6749 section 4.4).
        ClientCredentials = "client_credentials",
        /// Implicit (RFC 6749 section 4.2), also needed by hybrid flows that give an access token.
        Implicit = "implicit",
        /// Device authorization (RFC 8628).
        DeviceCode = "urn:ietf:params:oauth:grant-type:device_code",
        /// Assertion of a trusted issuer (RFC 7523).
        JwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer",
        /// Token exchange (RFC 8693).
        TokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange",
    }
}

string_enum! {
    /// What the authorization endpoint answers with. The order of the words is fixed.
    pub enum ResponseType {
        /// A code.
        Code = "code",
        /// An access token.
        Token = "token",
        /// An ID token.
        IdToken = "id_token",
        /// A code and an access token.
        CodeToken = "code token",
        /// A code and an ID token.
        CodeIdToken = "code id_token",
        /// An ID token and an access token.
        IdTokenToken = "id_token token",
        /// A code, an ID token and an access token.
        CodeIdTokenToken = "code id_token token",
    }
}

string_enum! {
    /// How the client authenticates at the token endpoint.
    #[derive(Default)]
    pub enum TokenEndpointAuthMethod {
        /// Secret in the Authorization header.
        #[default]
        ClientSecretBasic = "client_secret_basic",
        /// Secret in the request body.
        ClientSecretPost = "client_secret_post",
        /// Assertion signed by the client's own key (RFC 7523).
        PrivateKeyJwt = "private_key_jwt",
        /// Not at all: a public client.
        None = "none",
    }
}

impl TokenEndpointAuthMethod {
    /// Whether the client holds a secret.
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

string_enum! {
    /// Whether all clients see the same subject (OpenID Connect Core section 8).
    pub enum SubjectType {
        /// The same subject for every client.
        Public = "public",
        /// A subject of its own for each sector.
        Pairwise = "pairwise",
    }
}

string_enum! {
    /// Form of access tokens.
    pub enum AccessTokenStrategy {
        /// Signed, readable by the resource server (RFC 9068).
        Jwt = "jwt",
        /// To be introspected.
        Opaque = "opaque",
    }
}

string_enum! {
    /// What happens to the server's side when the resource is deleted.
    pub enum DeletionPolicy {
        /// It is deleted as well.
        Delete = "Delete",
        /// It stays.
        Orphan = "Orphan",
    }
}
