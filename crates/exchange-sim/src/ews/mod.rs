//! Exchange Web Services: the SOAP dialect over the world.

pub mod answer;
pub mod attachments;
pub mod body;
pub mod call;
pub mod create;
pub mod directory;
pub mod extended;
pub mod find;
pub mod folders;
pub mod ids;
pub mod mapi;
pub mod path;
pub mod read;
pub mod relocate;
mod responses;
pub mod restriction;
pub mod schema;
pub mod shape;
pub mod soap;
pub mod special;
pub mod subscriptions;
pub mod sync;
pub mod time;
pub mod update;
pub mod view;
pub mod write;
pub mod xml;
