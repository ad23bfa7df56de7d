//! `UpdateFolder` (MS-OXWSFOLD 3.1.4.8), as far as properties of ours go.

use super::{id::FolderRef, property::Extended};
use crate::xml::Writer;

/// Sets extended properties of a folder. `element` is what folders of its class are called, such as `t:CalendarFolder`.
pub fn request(folder: &FolderRef, element: &str, values: &[(Extended, &str)]) -> String {
    let mut w = Writer::default();
    w.element("m:UpdateFolder", &[], |w| {
        w.element("m:FolderChanges", &[], |w| {
            w.element("t:FolderChange", &[], |w| {
                folder.write(w);
                w.element("t:Updates", &[], |w| {
                    values.iter().for_each(|(property, value)| set(w, element, *property, value));
                });
            });
        });
    });
    w.finish()
}

fn set(w: &mut Writer, element: &str, property: Extended, value: &str) {
    w.element("t:SetFolderField", &[], |w| {
        property.write_uri(w);
        w.element(element, &[], |w| property.write(w, value));
    });
}
