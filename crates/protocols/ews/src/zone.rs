//! Time zones: the names Windows has for them against those of the IANA database (CLDR `windowsZones`), and local times.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use windows_timezones::WindowsTimezone;

/// Names of the IANA database that CLDR knows only under an older one, and others that mean the same.
const ALIASES: &[(Tz, &str)] = &[
    (Tz::UTC, "UTC"),
    (Tz::Etc__GMT, "UTC"),
    (Tz::Etc__UCT, "UTC"),
    (Tz::Etc__Universal, "UTC"),
    (Tz::Etc__Zulu, "UTC"),
    (Tz::UCT, "UTC"),
    (Tz::Universal, "UTC"),
    (Tz::Zulu, "UTC"),
    (Tz::GMT, "UTC"),
    (Tz::Asia__Kolkata, "India Standard Time"),
    (Tz::Asia__Kathmandu, "Nepal Standard Time"),
    (Tz::Asia__Yangon, "Myanmar Standard Time"),
    (Tz::Asia__Ho_Chi_Minh, "SE Asia Standard Time"),
    (Tz::Asia__Thimphu, "Bangladesh Standard Time"),
    (Tz::Asia__Dacca, "Bangladesh Standard Time"),
    (Tz::Asia__Tel_Aviv, "Israel Standard Time"),
    (Tz::Asia__Istanbul, "Turkey Standard Time"),
    (Tz::Asia__Chongqing, "China Standard Time"),
    (Tz::Asia__Macau, "China Standard Time"),
    (Tz::Asia__Ulan_Bator, "Ulaanbaatar Standard Time"),
    (Tz::PRC, "China Standard Time"),
    (Tz::Hongkong, "China Standard Time"),
    (Tz::Singapore, "Singapore Standard Time"),
    (Tz::Japan, "Tokyo Standard Time"),
    (Tz::ROK, "Korea Standard Time"),
    (Tz::Israel, "Israel Standard Time"),
    (Tz::Iran, "Iran Standard Time"),
    (Tz::Egypt, "Egypt Standard Time"),
    (Tz::Turkey, "Turkey Standard Time"),
    (Tz::Portugal, "GMT Standard Time"),
    (Tz::Poland, "Central European Standard Time"),
    (Tz::GB, "GMT Standard Time"),
    (Tz::Eire, "GMT Standard Time"),
    (Tz::Europe__Kyiv, "FLE Standard Time"),
    (Tz::Europe__Belfast, "GMT Standard Time"),
    (Tz::Europe__Nicosia, "GTB Standard Time"),
    (Tz::Atlantic__Faroe, "GMT Standard Time"),
    (Tz::Africa__Asmara, "E. Africa Standard Time"),
    (Tz::America__Argentina__Buenos_Aires, "Argentina Standard Time"),
    (Tz::America__Argentina__Catamarca, "Argentina Standard Time"),
    (Tz::America__Argentina__Cordoba, "Argentina Standard Time"),
    (Tz::America__Argentina__Jujuy, "Argentina Standard Time"),
    (Tz::America__Argentina__Mendoza, "Argentina Standard Time"),
    (Tz::America__Indiana__Indianapolis, "US Eastern Standard Time"),
    (Tz::America__Fort_Wayne, "US Eastern Standard Time"),
    (Tz::America__Kentucky__Louisville, "Eastern Standard Time"),
    (Tz::America__Atikokan, "SA Pacific Standard Time"),
    (Tz::America__Nuuk, "Greenland Standard Time"),
    (Tz::America__Montreal, "Eastern Standard Time"),
    (Tz::Canada__Atlantic, "Atlantic Standard Time"),
    (Tz::Canada__Central, "Central Standard Time"),
    (Tz::Canada__Eastern, "Eastern Standard Time"),
    (Tz::Canada__Mountain, "Mountain Standard Time"),
    (Tz::Canada__Newfoundland, "Newfoundland Standard Time"),
    (Tz::Canada__Pacific, "Pacific Standard Time"),
    (Tz::Canada__Saskatchewan, "Canada Central Standard Time"),
    (Tz::US__Alaska, "Alaskan Standard Time"),
    (Tz::US__Arizona, "US Mountain Standard Time"),
    (Tz::US__Central, "Central Standard Time"),
    (Tz::US__Eastern, "Eastern Standard Time"),
    (Tz::US__Hawaii, "Hawaiian Standard Time"),
    (Tz::US__Mountain, "Mountain Standard Time"),
    (Tz::US__Pacific, "Pacific Standard Time"),
    (Tz::Brazil__East, "E. South America Standard Time"),
    (Tz::Chile__Continental, "Pacific SA Standard Time"),
    (Tz::Mexico__General, "Central Standard Time (Mexico)"),
    (Tz::Pacific__Pohnpei, "Central Pacific Standard Time"),
    (Tz::Pacific__Chuuk, "West Pacific Standard Time"),
    (Tz::Pacific__Kanton, "UTC+13"),
    (Tz::Australia__ACT, "AUS Eastern Standard Time"),
    (Tz::Australia__NSW, "AUS Eastern Standard Time"),
    (Tz::Australia__Victoria, "AUS Eastern Standard Time"),
    (Tz::Australia__Canberra, "AUS Eastern Standard Time"),
    (Tz::Australia__Queensland, "E. Australia Standard Time"),
    (Tz::Australia__South, "Cen. Australia Standard Time"),
    (Tz::Australia__North, "AUS Central Standard Time"),
    (Tz::Australia__West, "W. Australia Standard Time"),
    (Tz::Australia__Tasmania, "Tasmania Standard Time"),
    (Tz::NZ, "New Zealand Standard Time"),
];

/// Names that servers have and CLDR does not.
const RETIRED: &[(&str, Tz)] = &[
    ("UTC", Tz::UTC),
    ("tzone://Microsoft/Utc", Tz::UTC),
    ("Coordinated Universal Time", Tz::UTC),
    ("Greenwich Standard Time", Tz::Atlantic__Reykjavik),
    ("Kamchatka Standard Time", Tz::Asia__Kamchatka),
    ("Mid-Atlantic Standard Time", Tz::Etc__GMTPlus2),
    ("Armenian Standard Time", Tz::Asia__Yerevan),
    ("Mexico Standard Time", Tz::America__Mexico_City),
    ("Mexico Standard Time 2", Tz::America__Chihuahua),
    ("Central Brazilian Standard Time", Tz::America__Cuiaba),
    ("Namibia Standard Time", Tz::Africa__Windhoek),
    ("South Sudan Standard Time", Tz::Africa__Juba),
    ("Yukon Standard Time", Tz::America__Whitehorse),
];

/// The name Windows has for a zone; `None` where it has none.
pub fn to_windows(zone: Tz) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(known, _)| *known == zone).map(|(_, name)| *name);
    alias.or_else(|| WindowsTimezone::try_from(zone).ok().map(WindowsTimezone::name))
}

/// The zone with a Windows name, or with one of the IANA database. A zone of somebody's own making has none.
pub fn from_windows(name: &str) -> Option<Tz> {
    let retired = RETIRED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, zone)| *zone);
    retired.or_else(|| name.parse::<WindowsTimezone>().ok().map(Tz::from)).or_else(|| name.parse().ok())
}

/// The longest gap that is looked over: Samoa once skipped a day.
const LONGEST_GAP_QUARTERS: i32 = 26 * 4;

/// The instant of a local time. One that comes twice is the first of the two; one that is skipped is read with the offset
/// from before the gap (RFC 5545 §3.3.5).
pub fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
        LocalResult::None => {
            let before = (1..=LONGEST_GAP_QUARTERS).find_map(|quarters| {
                let earlier = local.checked_sub_signed(TimeDelta::minutes(15) * quarters)?;
                zone.from_local_datetime(&earlier).latest()
            });
            let offset = before.map_or(0, |at| at.offset().fix().local_minus_utc());
            local.checked_sub_signed(TimeDelta::seconds(i64::from(offset))).unwrap_or(local).and_utc()
        }
    }
}

/// The local time of an instant.
pub fn local(at: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_lead_there_and_back() {
        for (name, zone) in [
            ("W. Europe Standard Time", Tz::Europe__Berlin),
            ("Pacific Standard Time", Tz::America__Los_Angeles),
            ("India Standard Time", Tz::Asia__Kolkata),
            ("UTC", Tz::UTC),
            ("FLE Standard Time", Tz::Europe__Kyiv),
        ] {
            assert_eq!(to_windows(zone), Some(name));
            let back = from_windows(name).unwrap();
            assert_eq!(to_windows(back), Some(name));
        }
        assert_eq!(from_windows("tzone://Microsoft/Utc"), Some(Tz::UTC));
        assert_eq!(from_windows("Europe/Oslo"), Some(Tz::Europe__Oslo));
        assert_eq!(from_windows("Customized Time Zone"), None);
    }

    /// Every alias names a zone that Windows has and that shows the same time all year long, today.
    #[test]
    fn aliases_mean_the_same() {
        for (zone, name) in ALIASES {
            let meant = from_windows(name).unwrap_or_else(|| panic!("{name} is not known"));
            for month in 1..=12 {
                let at = Utc.with_ymd_and_hms(2025, month, 15, 12, 0, 0).unwrap();
                assert_eq!(local(at, *zone), local(at, meant), "{zone} {name} {at}");
            }
        }
    }

    /// A name that is given out is understood, and means a zone with that name.
    #[test]
    fn names_are_stable() {
        for zone in chrono_tz::TZ_VARIANTS {
            let Some(name) = to_windows(zone) else { continue };
            let back = from_windows(name).unwrap_or_else(|| panic!("{zone}: {name}"));
            assert_eq!(to_windows(back), Some(name), "{zone} {back}");
        }
    }

    /// Nearly every zone somebody lives in has a name.
    #[test]
    fn most_zones_have_a_name() {
        let nameless: Vec<_> = chrono_tz::TZ_VARIANTS.iter().filter(|zone| to_windows(**zone).is_none()).collect();
        assert!(nameless.len() < 130, "{}: {nameless:?}", nameless.len());
        let europe = |zone: &&&Tz| zone.name().starts_with("Europe/");
        assert!(nameless.iter().filter(europe).count() < 8, "{nameless:?}");
    }

    #[test]
    fn gaps_and_doubled_hours() {
        let at = |text: &str| instant(text.parse().unwrap(), Tz::Europe__Berlin).to_rfc3339();
        assert_eq!(at("2024-03-31T02:30:00"), "2024-03-31T01:30:00+00:00");
        assert_eq!(at("2024-10-27T02:30:00"), "2024-10-27T00:30:00+00:00");
    }
}
