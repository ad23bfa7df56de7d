//! Duplicates: whether two contacts are the same person.

use std::collections::BTreeSet;

use lockstep_model::{
    address::AddressKey,
    record::{Field, Fields, PersonName, Value},
};

/// Where a contact's addresses stand.
pub const ADDRESSES: &[Field] = &[Field::Email1, Field::Email2, Field::Email3];

/// Where telephone numbers stand by which a person is reached. A company's own number and an assistant's are many
/// people's, and a fax is nobody's.
pub const TELEPHONES: &[Field] = &[
    Field::BusinessPhone,
    Field::BusinessPhone2,
    Field::HomePhone,
    Field::HomePhone2,
    Field::MobilePhone,
    Field::OtherPhone,
    Field::Callback,
];

/// Fewer digits are an extension, not a number.
const LEAST_DIGITS: usize = 5;

/// What a contact is recognised by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Addresses, normalised.
    pub addresses: BTreeSet<AddressKey>,
    /// The full name in small letters, with single spaces; empty where there is none.
    pub name: String,
    /// Digits of telephone numbers, without zeros in front.
    pub telephones: BTreeSet<String>,
}

impl Traits {
    /// Those of a contact's values.
    pub fn of(fields: &Fields) -> Self {
        let texts = |of: &'static [Field]| {
            of.iter().filter_map(|field| match fields.get(*field) {
                Some(Value::Text(text)) => Some(text.as_str()),
                _ => None,
            })
        };
        let name = match fields.get(Field::FullName) {
            Some(Value::Name(PersonName { first, middle, last })) => format!("{first} {middle} {last}"),
            _ => String::new(),
        };
        Self {
            addresses: texts(ADDRESSES).filter_map(AddressKey::of).collect(),
            name: name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" "),
            telephones: texts(TELEPHONES).filter_map(digits).collect(),
        }
    }

    /// Whether two contacts are the same person: an address is shared, or name and a telephone number are. Namesakes are
    /// many, and a telephone may be a family's.
    pub fn same_person(&self, other: &Self) -> bool {
        let addressed = !self.addresses.is_disjoint(&other.addresses);
        let named = !self.name.is_empty() && self.name == other.name;
        addressed || named && !self.telephones.is_disjoint(&other.telephones)
    }
}

/// The digits of a number: how it is written, and whether `00` or `+` stands in front, makes no difference.
fn digits(number: &str) -> Option<String> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    (digits.len() >= LEAST_DIGITS).then(|| digits.to_owned())
}
