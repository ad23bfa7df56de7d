//! Emails, as people and programs see and write them.
