//! K10: which contacts are the same person.

use lockstep_engine::duplicate_contact::Traits;
use lockstep_model::record::{Field, Fields, PersonName, Value};

fn contact(name: &str, values: &[(Field, &str)]) -> Traits {
    let mut fields = Fields::default();
    if let Some((first, last)) = name.split_once('/') {
        let (first, last) = (first.to_owned(), last.to_owned());
        fields.set(Field::FullName, Value::Name(PersonName { first, middle: String::new(), last })).unwrap();
    }
    for (field, value) in values {
        fields.set(*field, Value::Text((*value).to_owned())).unwrap();
    }
    Traits::of(&fields)
}

/// K10: a shared address, or name and telephone, make two contacts the same person; less does not.
#[test]
fn k10_the_same_person() {
    use Field::{AssistantPhone, BusinessFax, BusinessPhone, CompanyPhone, Email1, Email2, Email3, MobilePhone};
    let rows: &[(&str, Traits, Traits, bool)] = &[
        ("an address", contact("A/B", &[(Email1, "a@x.test")]), contact("C/D", &[(Email1, "a@x.test")]), true),
        ("in another case", contact("", &[(Email1, " A@X.test")]), contact("", &[(Email1, "a@x.TEST")]), true),
        ("second and third", contact("", &[(Email2, "a@x.test")]), contact("", &[(Email3, "a@x.test")]), true),
        ("other addresses", contact("A/B", &[(Email1, "a@x.test")]), contact("A/B", &[(Email1, "b@x.test")]), false),
        ("what is no address", contact("A/B", &[(Email1, "ann")]), contact("C/D", &[(Email1, "ann")]), false),
        ("namesakes", contact("A/B", &[]), contact("A/B", &[]), false),
        (
            "name and telephone",
            contact("Ann /  LEE", &[(BusinessPhone, "+49 (30) 123-456")]),
            contact("ann/Lee", &[(MobilePhone, "0049 30 123456")]),
            true,
        ),
        (
            "another number",
            contact("A/B", &[(BusinessPhone, "030 123456")]),
            contact("A/B", &[(BusinessPhone, "030 123457")]),
            false,
        ),
        (
            "another name",
            contact("A/B", &[(BusinessPhone, "030 123456")]),
            contact("A/C", &[(BusinessPhone, "030 123456")]),
            false,
        ),
        ("an extension", contact("A/B", &[(BusinessPhone, "4711")]), contact("A/B", &[(BusinessPhone, "4711")]), false),
        (
            "a company's, an assistant's, a fax",
            contact(
                "A/B",
                &[(CompanyPhone, "030 123456"), (AssistantPhone, "030 123457"), (BusinessFax, "030 123458")],
            ),
            contact(
                "A/B",
                &[(CompanyPhone, "030 123456"), (AssistantPhone, "030 123457"), (BusinessFax, "030 123458")],
            ),
            false,
        ),
        ("no name", contact("", &[(MobilePhone, "030 123456")]), contact("", &[(MobilePhone, "030 123456")]), false),
    ];
    for (what, one, other, same) in rows {
        assert_eq!(one.same_person(other), *same, "{what}");
        assert_eq!(other.same_person(one), *same, "{what}");
    }
}
