//! `GetItem` (MS-OXWSCORE 3.1.4.4).

use super::{id::ItemRef, property::Shape};
use crate::xml::{Element, Writer};

/// Asks for items. They come back in the same order, each as a response message of its own.
pub fn request(items: &[ItemRef], shape: &Shape) -> String {
    let mut w = Writer::default();
    w.element("m:GetItem", &[], |w| {
        shape.write(w, "m:ItemShape");
        w.element("m:ItemIds", &[], |w| items.iter().for_each(|item| item.write(w)));
    });
    w.finish()
}

/// The item in a response message.
pub fn read(message: &Element) -> Option<&Element> {
    message.list("Items").first()
}
