//! The `device_authorizations` table: what devices ask for, until somebody has decided and the device has asked.
//!
//! What is asked and what is granted are sealed by the caller and opaque here.

use jiff::Timestamp;
use oauth::GrantId;
use oauth::user_code::UserCodeHash;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::grants::{bytes, instant};
use crate::{Error, Store};

/// What a device asks for.
#[derive(Debug, Clone)]
pub struct NewDeviceAuthorization {
    /// The id of its flow, and of the grant that may come of it.
    pub id: GrantId,
    /// The hash of the code that the device shows.
    pub user_code: UserCodeHash,
    /// What is asked for, sealed.
    pub content: Vec<u8>,
    /// When nobody can decide about it any more.
    pub expires_at: Timestamp,
}

/// What was found by a user code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeviceRequest {
    /// The flow's id.
    pub id: GrantId,
    /// What is asked for, sealed.
    pub content: Vec<u8>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What became of a device's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceDecision {
    /// Nobody has decided yet.
    Pending,
    /// Somebody, or the login or consent app, said no.
    Denied,
    /// This was granted, sealed.
    Granted(Vec<u8>),
}

impl Store {
    /// Writes down what a device asks for; false where its user code is taken, and nothing was written. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin_device_authorization(&self, new: &NewDeviceAuthorization) -> Result<bool, Error> {
        let query = self
            .db()
            .query(
                "INSERT INTO device_authorizations (id, user_code, state, content, expires_at) \
                 VALUES ($1, $2, 'pending', $3, $4) ON CONFLICT (user_code) DO NOTHING",
            )
            .bind(new.id.as_bytes().to_vec())
            .bind(new.user_code.0.to_vec())
            .bind(new.content.clone())
            .bind(new.expires_at.as_second());
        Ok(self.db().execute(query).await? == 1)
    }

    /// What is asked for under a user code that nobody has entered yet. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn device_request(
        &self,
        user_code: UserCodeHash,
    ) -> Result<Option<StoredDeviceRequest>, Error> {
        let query = self
            .db()
            .query(
                "SELECT id, content, expires_at FROM device_authorizations \
                 WHERE user_code = $1 AND state = 'pending' AND expires_at > $2",
            )
            .bind(user_code.0.to_vec())
            .bind(self.clock().now().as_second());
        self.db().fetch_optional(query).await?.map(|row| request(&row)).transpose()
    }

    /// Uses a user code up for the visit `visit`; `None` where it is unknown, has expired, or was entered in another
    /// visit. Repeated for the same visit before somebody has decided, it gives the same. One statement.
    ///
    /// # Guarantees
    /// Of any number of visits at any number of servers, one gets the request.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn accept_user_code(
        &self,
        user_code: UserCodeHash,
        visit: GrantId,
    ) -> Result<Option<StoredDeviceRequest>, Error> {
        let query = self
            .db()
            .query(
                "UPDATE device_authorizations SET state = 'accepted', accepted_by = $2 WHERE user_code = $1 \
                 AND (state = 'pending' OR (state = 'accepted' AND accepted_by = $2)) AND expires_at > $3 \
                 RETURNING id, content, expires_at",
            )
            .bind(user_code.0.to_vec())
            .bind(visit.as_bytes().to_vec())
            .bind(self.clock().now().as_second());
        self.db().fetch_optional(query).await?.map(|row| request(&row)).transpose()
    }

    /// Denies the request under a user code that nobody has entered yet; false where there is none. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn reject_user_code(&self, user_code: UserCodeHash) -> Result<bool, Error> {
        let query = self
            .db()
            .query(
                "UPDATE device_authorizations SET state = 'denied' \
                 WHERE user_code = $1 AND state = 'pending' AND expires_at > $2",
            )
            .bind(user_code.0.to_vec())
            .bind(self.clock().now().as_second());
        Ok(self.db().execute(query).await? == 1)
    }

    /// Grants what was asked for in a flow whose user code was entered: `content` is what was granted, sealed. False
    /// where somebody has decided already, or it has expired; nothing is changed then. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn grant_device(&self, id: GrantId, content: Vec<u8>) -> Result<bool, Error> {
        let query = self
            .db()
            .query(
                "UPDATE device_authorizations SET state = 'granted', content = $2 \
                 WHERE id = $1 AND state = 'accepted' AND expires_at > $3",
            )
            .bind(id.as_bytes().to_vec())
            .bind(content)
            .bind(self.clock().now().as_second());
        Ok(self.db().execute(query).await? == 1)
    }

    /// Denies what was asked for in a flow whose user code was entered. What somebody has granted stays so. One
    /// statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn deny_device(&self, id: GrantId) -> Result<(), Error> {
        let query = self
            .db()
            .query("UPDATE device_authorizations SET state = 'denied' WHERE id = $1 AND state = 'accepted'")
            .bind(id.as_bytes().to_vec());
        self.db().execute(query).await?;
        Ok(())
    }

    /// What became of a device's request; `None` where it is not known any more. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Corrupt`] for a state that this version does not know.
    pub async fn device_decision(&self, id: GrantId) -> Result<Option<DeviceDecision>, Error> {
        let query = self
            .db()
            .query("SELECT state, content FROM device_authorizations WHERE id = $1")
            .bind(id.as_bytes().to_vec());
        let Some(row) = self.db().fetch_optional(query).await? else { return Ok(None) };
        Ok(Some(match row.try_get::<String, _>(0)?.as_str() {
            "pending" | "accepted" => DeviceDecision::Pending,
            "denied" => DeviceDecision::Denied,
            "granted" => DeviceDecision::Granted(row.try_get(1)?),
            _ => return Err(Error::corrupt("column state")),
        }))
    }
}

fn request(row: &AnyRow) -> Result<StoredDeviceRequest, Error> {
    Ok(StoredDeviceRequest {
        id: GrantId::from_bytes(bytes(row, 0)?),
        content: row.try_get(1)?,
        expires_at: instant(row, 2)?,
    })
}
