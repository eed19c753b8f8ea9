//! go-sockaddr's templates in addresses: `{{ GetPrivateIP }}:8200`, or a pipeline such as
//! `{{ GetAllInterfaces | include "name" "eth0" | attr "address" }}`. What operators write in addresses is there; the
//! functions and their meaning are those of <https://pkg.go.dev/github.com/hashicorp/go-sockaddr/template>.

use std::cmp::Reverse;
use std::net::IpAddr;

use regex::Regex;

use super::address::Cidr;
use crate::runtime::net::Interface;

/// `text` with each `{{ ... }}` replaced by the one address that it finds. Text without a template stays as it is.
///
/// # Errors
/// What is wrong with the template, or that it does not find exactly one address.
pub(super) fn expand(text: &str, interfaces: &[Interface]) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, template)) = rest.split_once("{{") {
        let (template, after) =
            template.split_once("}}").ok_or_else(|| format!("a template without an end in {text:?}"))?;
        let found = evaluate(template, interfaces)?;
        let mut words = found.split_whitespace();
        let (Some(found), None) = (words.next(), words.next()) else {
            return Err(format!("the template {:?} finds {found:?}, not one address", template.trim()));
        };
        expanded.push_str(before);
        // `[fd00::1]:8200`
        let bare =
            found.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6()) && !before.ends_with('[') && after.starts_with(':');
        expanded.push_str(&if bare { format!("[{found}]") } else { found.to_string() });
        rest = after;
    }
    Ok(expanded + rest)
}

/// What goes from one stage of a pipeline to the next.
enum Stage {
    Interfaces(Vec<Interface>),
    Text(String),
}

fn evaluate(template: &str, interfaces: &[Interface]) -> Result<String, String> {
    let mut value = None;
    for words in stages(template)? {
        value = Some(step(value, &words, interfaces)?);
    }
    match value {
        Some(Stage::Text(text)) => Ok(text),
        Some(Stage::Interfaces(_)) => {
            Err(format!("the template {:?} ends with interfaces: add | attr \"address\"", template.trim()))
        }
        None => Err("an empty template".into()),
    }
}

/// The words of each stage; `"..."` and `` `...` `` are one word.
fn stages(template: &str) -> Result<Vec<Vec<String>>, String> {
    let mut stages = vec![Vec::new()];
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '|' => stages.push(Vec::new()),
            '"' | '`' => {
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some(inner) => word.push(inner),
                        None => return Err(format!("a string without an end in the template {template:?}")),
                    }
                }
                stages.last_mut().expect("one at least").push(word);
            }
            c if c.is_whitespace() => {}
            c => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !matches!(c, '|' | '"' | '`')) {
                    word.push(c);
                }
                stages.last_mut().expect("one at least").push(word);
            }
        }
    }
    Ok(stages)
}

fn step(value: Option<Stage>, words: &[String], all: &[Interface]) -> Result<Stage, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let interfaces = match value {
        None => return source(&words, all),
        Some(Stage::Interfaces(interfaces)) => interfaces,
        Some(Stage::Text(_)) => return Err(format!("{:?} needs interfaces before it", words.join(" "))),
    };
    Ok(match words.as_slice() {
        [verb @ ("include" | "exclude"), selector, wanted] => {
            let is_wanted = selector_of(selector, wanted)?;
            let keep = *verb == "include";
            Stage::Interfaces(interfaces.into_iter().filter(|interface| is_wanted(interface) == keep).collect())
        }
        ["sort", keys] => Stage::Interfaces(sorted(interfaces, keys)?),
        ["limit", count] => Stage::Interfaces(interfaces.into_iter().take(number(count)?).collect()),
        ["offset", count] => Stage::Interfaces(interfaces.into_iter().skip(number(count)?).collect()),
        ["unique", attribute] => {
            let mut seen = std::collections::BTreeSet::new();
            let mut unique = Vec::new();
            for interface in interfaces {
                if seen.insert(attribute_of(&interface, attribute)?) {
                    unique.push(interface);
                }
            }
            Stage::Interfaces(unique)
        }
        ["attr", attribute] => Stage::Text(match interfaces.first() {
            Some(interface) => attribute_of(interface, attribute)?,
            None => String::new(),
        }),
        ["join", attribute, between] => {
            let texts: Result<Vec<String>, String> =
                interfaces.iter().map(|interface| attribute_of(interface, attribute)).collect();
            Stage::Text(texts?.join(between))
        }
        _ => return Err(format!("{:?} is no function of an address template", words.join(" "))),
    })
}

fn source(words: &[&str], all: &[Interface]) -> Result<Stage, String> {
    let list = |interfaces: Vec<Interface>| {
        let addresses: Vec<String> = interfaces.iter().map(|interface| interface.address.to_string()).collect();
        addresses.join(" ")
    };
    let first = |interfaces: Vec<Interface>| list(interfaces.into_iter().take(1).collect());
    let named = |pattern: &str| {
        let is_named = selector_of("name", pattern)?;
        let named = all.iter().filter(|interface| is_named(interface)).cloned().collect();
        // Addresses that most others can use come first.
        sorted(named, "type")
    };
    Ok(match words {
        ["GetAllInterfaces"] => Stage::Interfaces(all.to_vec()),
        ["GetDefaultInterfaces"] => {
            Stage::Interfaces(all.iter().filter(|interface| interface.is_default).cloned().collect())
        }
        ["GetPrivateInterfaces"] => Stage::Interfaces(usable(all, true)?),
        ["GetPublicInterfaces"] => Stage::Interfaces(usable(all, false)?),
        ["GetPrivateIP"] => Stage::Text(first(usable(all, true)?)),
        ["GetPublicIP"] => Stage::Text(first(usable(all, false)?)),
        ["GetPrivateIPs"] => Stage::Text(list(usable(all, true)?)),
        ["GetPublicIPs"] => Stage::Text(list(usable(all, false)?)),
        ["GetInterfaceIP", pattern] => Stage::Text(first(named(pattern)?)),
        ["GetInterfaceIPs", pattern] => Stage::Text(list(named(pattern)?)),
        _ => return Err(format!("{:?} is no source of an address template", words.join(" "))),
    })
}

/// Addresses of this machine that others can reach, private or public ones, the best first.
fn usable(all: &[Interface], private: bool) -> Result<Vec<Interface>, String> {
    let fits = |interface: &&Interface| {
        interface.is_up && is_forwardable(interface.address) && is_in("6890", interface.address) == Some(private)
    };
    sorted(all.iter().filter(fits).cloned().collect(), "default,type,size")
}

type Selector = Box<dyn Fn(&Interface) -> bool>;

fn selector_of(selector: &str, wanted: &str) -> Result<Selector, String> {
    let pattern = || Regex::new(wanted).map_err(|error| format!("{wanted:?} is no pattern: {error}"));
    let wanted = wanted.to_string();
    Ok(match selector.to_ascii_lowercase().as_str() {
        "name" => {
            let pattern = pattern()?;
            Box::new(move |interface| pattern.is_match(&interface.name))
        }
        "address" => {
            let pattern = pattern()?;
            Box::new(move |interface| pattern.is_match(&interface.address.to_string()))
        }
        "network" => {
            let network = Cidr::parse(&wanted).ok_or_else(|| format!("{wanted:?} is no network"))?;
            Box::new(move |interface| network.contains(interface.address))
        }
        "type" => match wanted.to_ascii_lowercase().as_str() {
            "ip" => Box::new(|_| true),
            "ipv4" => Box::new(|interface| interface.address.is_ipv4()),
            "ipv6" => Box::new(|interface| interface.address.is_ipv6()),
            _ => return Err(format!("{wanted:?} is no type: ip, ipv4 or ipv6")),
        },
        "rfc" => {
            is_in(&wanted, IpAddr::from([127, 0, 0, 1])).ok_or_else(|| format!("RFC {wanted} is not known here"))?;
            Box::new(move |interface| is_in(&wanted, interface.address) == Some(true))
        }
        "flags" | "flag" => {
            let flags: Vec<String> = wanted.split('|').map(|flag| flag.trim().to_ascii_lowercase()).collect();
            if let Some(flag) = flags.iter().find(|flag| !["up", "loopback", "forwardable"].contains(&flag.as_str())) {
                return Err(format!("{flag:?} is no flag: up, loopback or forwardable"));
            }
            Box::new(move |interface| {
                flags.iter().all(|flag| match flag.as_str() {
                    "up" => interface.is_up,
                    "loopback" => interface.address.is_loopback(),
                    _ => is_forwardable(interface.address),
                })
            })
        }
        _ => return Err(format!("{selector:?} is no selector: name, address, network, type, rfc or flags")),
    })
}

fn sorted(mut interfaces: Vec<Interface>, keys: &str) -> Result<Vec<Interface>, String> {
    // The last key first: each sort keeps the order of what is equal.
    for key in keys.split(',').map(str::trim).rev() {
        let (falling, key) = key.strip_prefix('-').map_or((false, key), |key| (true, key));
        match key.trim_start_matches('+') {
            "default" => interfaces.sort_by_key(|interface| !interface.is_default),
            "type" => interfaces.sort_by_key(|interface| interface.address.is_ipv6()),
            "size" => interfaces.sort_by_key(|interface| interface.prefix),
            "name" => interfaces.sort_by(|a, b| a.name.cmp(&b.name)),
            "address" => interfaces.sort_by_key(|interface| interface.address),
            "private" => interfaces.sort_by_key(|interface| Reverse(is_in("6890", interface.address))),
            _ => return Err(format!("{key:?} is no key to sort by: address, default, name, private, size or type")),
        }
        if falling {
            interfaces.reverse();
        }
    }
    Ok(interfaces)
}

fn attribute_of(interface: &Interface, attribute: &str) -> Result<String, String> {
    Ok(match attribute.to_ascii_lowercase().as_str() {
        "address" | "host" => interface.address.to_string(),
        "name" => interface.name.clone(),
        "network" => format!("{}/{}", interface.address, interface.prefix),
        "type" => if interface.address.is_ipv4() { "IPv4" } else { "IPv6" }.to_string(),
        _ => return Err(format!("{attribute:?} is no attribute: address, name, network or type")),
    })
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// Whether packets to it can come from another machine.
fn is_forwardable(address: IpAddr) -> bool {
    let link_local = ["169.254.0.0/16", "fe80::/10"];
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast() && !lies_in(&link_local, address)
}

/// Whether an RFC's networks hold the address; `None` for an RFC that is not known here.
fn is_in(rfc: &str, address: IpAddr) -> Option<bool> {
    let networks: &[&str] = match rfc {
        "1918" => &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
        "3927" => &["169.254.0.0/16"],
        "4193" => &["fc00::/7"],
        "4291" => &["::1", "::", "fe80::/10", "ff00::/8"],
        "6598" => &["100.64.0.0/10"],
        "6890" => SPECIAL,
        _ => return None,
    };
    Some(lies_in(networks, address))
}

fn lies_in(networks: &[&str], address: IpAddr) -> bool {
    networks.iter().filter_map(|network| Cidr::parse(network)).any(|network| network.contains(address))
}

/// RFC 6890: addresses that are not those of machines on the internet.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "::1",
    "::",
    "64:ff9b::/96",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interfaces() -> Vec<Interface> {
        let interface = |name: &str, address: &str, prefix, is_up, is_default| Interface {
            name: name.into(),
            address: address.parse().unwrap(),
            prefix,
            is_up,
            is_default,
        };
        vec![
            interface("lo", "127.0.0.1", 8, true, false),
            interface("lo", "::1", 128, true, false),
            interface("docker0", "172.17.0.1", 16, true, false),
            interface("eth0", "fe80::1", 64, true, true),
            interface("eth0", "10.1.2.3", 24, true, true),
            interface("eth0", "fd00::5", 64, true, true),
            interface("eth1", "8.8.4.4", 24, true, false),
            interface("eth2", "10.9.9.9", 24, false, false),
        ]
    }

    #[test]
    fn templates_find_addresses() {
        for (text, expected) in [
            ("127.0.0.1:8200", "127.0.0.1:8200"),
            ("{{ GetPrivateIP }}:8200", "10.1.2.3:8200"),
            ("{{GetPublicIP}}", "8.8.4.4"),
            ("https://{{ GetPublicIP }}:8201", "https://8.8.4.4:8201"),
            ("{{ GetInterfaceIP \"docker0\" }}:1", "172.17.0.1:1"),
            ("{{ GetInterfaceIP `^eth0$` }}:1", "10.1.2.3:1"),
            (
                "{{ GetAllInterfaces | include \"name\" \"eth0\" | include \"type\" \"ipv6\" | exclude \"rfc\" \"4291\" | attr \"address\" }}:1",
                "[fd00::5]:1",
            ),
            ("[{{ GetPrivateInterfaces | include \"type\" \"IPv6\" | attr \"address\" }}]:1", "[fd00::5]:1"),
            (
                "{{ GetPrivateInterfaces | include \"network\" \"172.16.0.0/12\" | join \"address\" \" \" }}",
                "172.17.0.1",
            ),
            (
                "{{ GetAllInterfaces | include \"flags\" \"up|forwardable\" | sort \"-address\" | include \"type\" \"ipv4\" | limit 1 | attr \"address\" }}",
                "172.17.0.1",
            ),
            (
                "{{ GetAllInterfaces | include \"type\" \"ipv4\" | sort \"name\" | offset 1 | limit 1 | attr \"address\" }}",
                "10.1.2.3",
            ),
            ("{{ GetDefaultInterfaces | sort \"type\" | unique \"name\" | attr \"address\" }}", "10.1.2.3"),
        ] {
            assert_eq!(expand(text, &interfaces()).as_deref(), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("{{ GetPrivateIPs }}", "not one address"),
            ("{{ GetInterfaceIP \"none\" }}", "finds \"\", not one address"),
            ("{{ GetPrivateIP", "without an end"),
            ("{{ }}", "no source"),
            ("{{ GetMyIP }}", "no source"),
            ("{{ GetAllInterfaces }}", "ends with interfaces"),
            ("{{ GetAllInterfaces | attr \"colour\" }}", "no attribute"),
            ("{{ GetAllInterfaces | include \"colour\" \"x\" }}", "no selector"),
            ("{{ GetAllInterfaces | include \"rfc\" \"1\" }}", "not known here"),
            ("{{ GetAllInterfaces | include \"name\" \"(\" }}", "no pattern"),
            ("{{ GetAllInterfaces | sort \"colour\" }}", "no key to sort by"),
            ("{{ GetPrivateIP | attr \"address\" }}", "needs interfaces"),
            ("{{ GetAllInterfaces | include \"name }}", "string without an end"),
        ] {
            let error = expand(text, &interfaces()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}|\"` a-zGPI4]{0,40}") {
            let _ = expand(&text, &interfaces());
        }
    }
}
