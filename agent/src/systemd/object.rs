//! Objects on the system's D-Bus, and what they are asked.
//!
//! By plain calls: the library's proxies keep properties and follow their changes, of which nothing is wanted here.

use serde::{Serialize, de::DeserializeOwned};
use zbus::{Connection, Message, ObjectPath, Type, as_variant};

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// One of them.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) connection: &'a Connection,
    /// The name on the bus of who has it.
    pub(super) owner: &'a str,
    pub(super) path: ObjectPath<'a>,
}

impl Object<'_> {
    /// Calls a method.
    pub(super) async fn call<B>(&self, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: Serialize + Type,
    {
        self.connection.call_method(Some(self.owner), &self.path, Some(interface), method, body).await
    }

    /// Asks for a property.
    pub(super) async fn property<T>(&self, interface: &str, name: &str) -> zbus::Result<T>
    where
        T: DeserializeOwned + Type,
    {
        let reply = self.call(PROPERTIES, "Get", &(interface, name)).await?;
        Ok(reply.body().deserialize::<as_variant::Deserialize<'_, T>>()?.0)
    }
}
