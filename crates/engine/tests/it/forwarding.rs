//! G2, G3: who has forwarded a message, and what is not believed.

use lockstep_engine::forwarding::{Forwarder, Unfit, Way, check};

const ABLE: Forwarder = Forwarder { active: true, approved: true, by_forward_mailbox: true };

fn way() -> Way<'static> {
    Way { author_domain: Some("muster.example"), ..Way::default() }
}

/// G3: each thing that is not as it has to be has its reason.
#[test]
fn g3_a_forwarder_is_known_active_approved_and_forwards() {
    for (forwarder, expected) in [
        (None, Err(Unfit::UnknownForwarder)),
        (Some(ABLE), Ok(())),
        (Some(Forwarder { active: false, ..ABLE }), Err(Unfit::Inactive)),
        (Some(Forwarder { by_forward_mailbox: false, ..ABLE }), Err(Unfit::OtherMethod)),
        (Some(Forwarder { approved: false, ..ABLE }), Err(Unfit::Unapproved)),
    ] {
        assert_eq!(check(&way(), forwarder), expected);
    }
    assert_eq!(check(&Way { author_domain: None, ..way() }, Some(ABLE)), Err(Unfit::UnknownForwarder));
    assert_eq!(check(&Way { is_report: true, ..way() }, Some(ABLE)), Err(Unfit::Report));
    for (word, expected) in [("no", Ok(())), ("auto-generated", Ok(())), ("auto-replied", Err(Unfit::Report))] {
        assert_eq!(check(&Way { auto_submitted: Some(word), ..way() }, Some(ABLE)), expected, "{word}");
    }
}

/// G2: a sender that the envelope contradicts is not believed.
#[test]
fn g2_the_envelope_agrees_with_the_author() {
    for (path, agrees) in [
        ("<>", true),
        ("", true),
        ("<anna@muster.example>", true),
        ("Anna@Muster.Example", true),
        ("<bounces+7@mail.muster.example>", true),
        ("<anna@evil.example>", false),
        ("<anna@notmuster.example>", false),
        ("<muster.example>", false),
        ("<anna@muster.example@evil.example>", false),
        ("<anna@muster.example.evil.example>", false),
    ] {
        let way = Way { return_path: Some(path), ..way() };
        assert_eq!(check(&way, Some(ABLE)) == Ok(()), agrees, "{path}");
    }
}

/// G2: what the server itself found to be wrong is not believed; what it did not check is.
#[test]
fn g2_failed_checks_of_the_server_count() {
    for (results, believed) in [
        ("mx.muster.example; spf=pass; dkim=pass; dmarc=pass header.from=muster.example", true),
        ("mx.muster.example; none", true),
        ("mx.muster.example", true),
        ("", true),
        ("mx.muster.example; dmarc=fail (p=none) header.from=muster.example", false),
        ("mx.muster.example 1; DMARC = Fail", false),
        ("mx; spf=fail smtp.mailfrom=evil.example", false),
        ("mx; spf=softfail; dkim/1=pass header.d=muster.example", true),
        ("mx; spf=fail; dkim=none", false),
        ("mx; spf=fail; dmarc=pass", true),
        // What others can write into comments and quoted names says nothing.
        ("mx; spf=fail smtp.mailfrom=\"a; dkim=pass; dmarc=pass\"@evil.example", false),
        ("mx; spf=fail (sender ; dmarc=pass (\\) ; dkim=pass)) smtp.mailfrom=x", false),
        ("mx; spf=pass (dmarc=fail; x)", true),
        // Not a result: the name of a server.
        ("dmarc=fail; spf=pass", true),
    ] {
        let way = Way { authentication_results: Some(results), ..way() };
        assert_eq!(check(&way, Some(ABLE)) == Ok(()), believed, "{results}");
    }
}

#[test]
fn every_reason_has_words_of_its_own() {
    let mut sentences: Vec<_> = Unfit::ALL.iter().map(|unfit| unfit.to_string()).collect();
    sentences.sort_unstable();
    sentences.dedup();
    assert_eq!(sentences.len(), Unfit::ALL.len());
}
