//! The words of Exchange Web Services: one file for each operation, pure functions between values and XML.

pub mod answer;
pub mod attachment;
pub mod create_folder;
pub mod create_item;
pub mod delete_item;
pub mod envelope;
pub mod find_folder;
pub mod find_item;
pub mod folder;
pub mod get_item;
pub mod id;
pub mod move_item;
pub mod property;
pub mod resolve_names;
pub mod send_item;
pub mod sync_folder_hierarchy;
pub mod sync_folder_items;
pub mod time;
pub mod update_folder;
pub mod update_item;
