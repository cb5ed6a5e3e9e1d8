//! Whole files: what is taken, what is said.

use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvW1Y6DzqN2tQx0R0gHk1v9y9cVqSnh0xX4J9lD5m2e me";

fn errors(text: &str) -> Vec<String> {
    parse("m.toml", text).1.iter().map(ToString::to_string).collect()
}

fn values(list: &[Placed<String>]) -> Vec<&str> {
    list.iter().map(|entry| entry.value.as_str()).collect()
}

#[test]
fn the_smallest_form() {
    let text =
        format!("hostname = \"web-1\"\n\n[[users]]\nname = \"core\"\nssh-keys = [\"{KEY}\"]\ngroups = [\"os\"]\n");
    let (machine, errors) = parse("m.toml", &text);
    assert_eq!(errors, []);
    assert_eq!(machine.hostname, Some(Placed { value: "web-1".into(), file: "m.toml".into(), line: 1 }));
    let user = &machine.users[0];
    assert_eq!((user.name.value.as_str(), user.name.line), ("core", 4));
    assert_eq!((values(&user.ssh_keys), values(&user.groups)), (vec![KEY], vec!["os"]));
    assert!(machine.autologin.is_none());
}

#[test]
fn everything() {
    let text = r#"
        timezone = "Europe/Vienna"
        time-servers = ["ntp.example.net", "192.0.2.1"]
        modules = "br_netfilter"
        [console]
        autologin = "core"
        [update]
        source = "https://updates.example.net"
        channel = "beta"
        automatic = true
        delay = "7d"
        windows = ["Sat,Sun 02:00-05:00"]
        reboot = "manual"
        live = true
        proxy = "http://192.0.2.3:3128"
        bandwidth = "2M"
        well-for = "30s"
        well-within = "20min"
        [update.lock]
        etcd = ["http://192.0.2.9:2379", "http://192.0.2.10:2379"]
        group = "web"
        at-most = 2
        [update.peers]
        list = ["http://192.0.2.7:4724"]
        discover = true
        serve = true
        bandwidth = "5M"
        [[update.checks]]
        name = "web"
        http = "http://127.0.0.1:8080/healthz"
        [[update.checks]]
        name = "db"
        tcp = "127.0.0.1:5432"
        [[update.checks]]
        name = "work"
        unit = "work.service"
        [[update.checks]]
        name = "own"
        command = ["/etc/check", "a b"]
        [[network]]
        name = "en*"
        address = "192.0.2.7/24"
        gateway = ["192.0.2.1"]
        dns = ["192.0.2.2", "2001:db8::2"]
        domains = ["example.net", "example.org"]
        mtu = 9000
        [[network]]
        mac-address = "52:54:00:12:34:56"
        dhcp = "ipv4"
        [sysctl]
        net.ipv4.ip_forward = true
        "kernel.panic" = 10
        net.ipv4.conf."eth0/1".rp_filter = "2"
    "#;
    let (machine, errors) = parse("m.toml", text);
    assert_eq!(errors, []);
    assert_eq!(machine.timezone.map(|zone| zone.value).as_deref(), Some("Europe/Vienna"));
    assert_eq!(values(&machine.time_servers), ["ntp.example.net", "192.0.2.1"]);
    assert_eq!(values(&machine.modules), ["br_netfilter"]);
    assert_eq!(machine.autologin.map(|user| user.value).as_deref(), Some("core"));
    let update = machine.update;
    let of = |text: &Option<Placed<String>>| text.as_ref().map(|text| text.value.clone()).unwrap_or_default();
    assert_eq!([of(&update.source), of(&update.channel)], ["https://updates.example.net", "beta"]);
    assert_eq!([of(&update.automatic), of(&update.delay), of(&update.reboot)], ["yes", "7d", "manual"]);
    assert_eq!(of(&update.live), "yes");
    assert_eq!([of(&update.proxy), of(&update.bandwidth)], ["http://192.0.2.3:3128", "2M"]);
    assert_eq!([of(&update.well_for), of(&update.well_within)], ["30s", "20min"]);
    let lock = Lock {
        fleetlock: None,
        etcd: ["http://192.0.2.9:2379", "http://192.0.2.10:2379"].map(str::to_owned).to_vec(),
        group: "web".into(),
        at_most: 2,
    };
    assert_eq!(update.lock, Some(lock));
    let list = vec!["http://192.0.2.7:4724".to_owned()];
    assert_eq!(update.peers, Some(Peers { list, discover: true, serve: true, port: 4724, bandwidth: 5 << 20 }));
    let checks: Vec<_> = update.checks.into_iter().map(|check| (check.name.value, check.kind)).collect();
    let expect = [
        ("web", CheckKind::Http("http://127.0.0.1:8080/healthz".into())),
        ("db", CheckKind::Tcp("127.0.0.1:5432".into())),
        ("work", CheckKind::Unit("work.service".into())),
        ("own", CheckKind::Command(vec!["/etc/check".into(), "a b".into()])),
    ];
    assert_eq!(checks, expect.map(|(name, kind)| (name.to_owned(), kind)));
    assert_eq!((values(&update.windows), update.is_damaged), (vec!["Sat,Sun 02:00-05:00"], false));
    let first = "[Match]\nName=en*\n\n[Link]\nMTUBytes=9000\n\n[Network]\nDHCP=no\nAddress=192.0.2.7/24\n\
                 Gateway=192.0.2.1\nDNS=192.0.2.2\nDNS=2001:db8::2\nDomains=example.net example.org\n";
    assert_eq!(machine.networks[0].to_networkd(), first);
    assert_eq!(machine.networks[1].to_networkd(), "[Match]\nMACAddress=52:54:00:12:34:56\n\n[Network]\nDHCP=ipv4\n");
    let mut sysctl: Vec<(&str, &str)> =
        machine.sysctl.iter().map(|(key, value)| (key.value.as_str(), value.as_str())).collect();
    sysctl.sort_unstable();
    assert_eq!(sysctl, [("kernel.panic", "10"), ("net.ipv4.conf.eth0/1.rp_filter", "2"), ("net.ipv4.ip_forward", "1")]);
}

#[test]
fn what_is_wrong_is_left_out_and_the_rest_holds() {
    let text = format!(
        r#"hostnme = "web-1"
timezone = 5
[[users]]
name = "core"
ssh-key = []
ssh-keys = ["{KEY}", "nonsense"]
groups = ["os", 7]
[[users]]
name = "Root"
[[users]]
ssh-keys = []
[[users]]
name = "core"
[[network]]
dhcp = true
[sysctl]
"kernel.panic" = [1]
"#
    );
    let (machine, _) = parse("m.toml", &text);
    let expect = [
        "m.toml:1: unknown key `hostnme`, did you mean `hostname`?",
        "m.toml:2: `timezone` wants a text in quotes, not a value of type integer",
        "m.toml:5: unknown key `ssh-key`, did you mean `ssh-keys`?",
        "m.toml:6: the SSH key begins with `nonsense`, which is no kind of key; copy the line of the .pub file",
        "m.toml:7: `groups` wants a text in quotes, not a value of type integer",
        "m.toml:9: `Root` is no user or group name: small letters, digits, `_` and `-`, a letter first, at most 31",
        "m.toml:10: [[users]] has no `name`",
        "m.toml:13: user `core` is already in line 4",
        "m.toml:14: [[network]] has no `name` or `mac-address`, which says for which interfaces it is",
        "m.toml:17: `kernel.panic` is no kernel parameter with a number or a line of text",
    ];
    assert_eq!(errors(&text), expect);
    assert_eq!(machine.users.len(), 1);
    assert_eq!((values(&machine.users[0].ssh_keys), values(&machine.users[0].groups)), (vec![KEY], vec!["os"]));
    assert!(machine.networks.is_empty());
}

#[test]
fn a_broken_line_does_not_cost_the_others() {
    let text = "hostname = \"web-1\nmodules = [\"loop\"]\n[[users]]\nname = \"core\"\n";
    let (machine, errors) = parse("m.toml", text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].line, Some(1));
    assert_eq!((values(&machine.modules), machine.users[0].name.value.as_str()), (vec!["loop"], "core"));
}

#[test]
fn the_second_source_counts() {
    let (first, _) =
        parse("esp", "hostname = \"a\"\ntimezone = \"UTC\"\nmodules = [\"loop\"]\n[[network]]\nname = \"e*\"\n");
    let (second, _) = parse("fw_cfg", "hostname = \"b\"\n[[users]]\nname = \"core\"\n");
    let both = first.overridden_by(second);
    assert_eq!(both.hostname.map(|name| name.value).as_deref(), Some("b"));
    assert_eq!((values(&both.modules), both.users.len(), both.networks.len()), (vec!["loop"], 1, 1));
    assert!(both.timezone.is_some());
}

#[test]
fn limits() {
    assert_eq!(errors(&"#".repeat(LIMIT + 1)), ["m.toml: has 65537 bytes, at most 65536 are taken"]);
    assert_eq!(errors(&"#".repeat(LIMIT)), [""; 0]);
}

/// Whatever stands in a file, reading it ends with values and errors: every cut and many changes of a file that has
/// everything, from a generator of its own so that a failure comes again.
#[test]
fn never_panics() {
    let text = format!(
        "hostname=\"é\"\n[[users]]\nname='core'\nssh-keys=[\"{KEY}\",'']\n[[network]]\nmtu=0x10\nname=['e*']\naddress='::1/64'\n\
         [sysctl]\na.b.c=1\n'd.e'=true\n[console]\nautologin='''x'''\n"
    );
    for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
        parse("m.toml", &text[..end]);
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let alphabet: Vec<char> = "[]{}\"'=.,#\n\\ é0xa-_:/+*\u{0}".chars().collect();
    for _ in 0..3000 {
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..1 + random() % 6 {
            let (at, letter) = (random() % letters.len(), alphabet[random() % alphabet.len()]);
            match random() % 3 {
                0 => letters[at] = letter,
                1 => letters.insert(at, letter),
                _ => drop(letters.drain(at..letters.len().min(at + random() % 20))),
            }
            if letters.is_empty() {
                letters.push('x');
            }
        }
        let (machine, _) = parse("m.toml", &letters.into_iter().collect::<String>());
        machine.networks.iter().for_each(|network| drop(network.to_networkd()));
    }
}

#[test]
fn a_policy_that_does_not_read_is_known_as_damaged() {
    for bad in [
        "delay = \"soon\"",
        "windows = [\"always\"]",
        "automatic = 1",
        "reboot = \"never\"",
        "window = \"x\"",
        "bandwidth = \"9\"",
        "proxy = \"x\"",
        "well-for = \"0\"",
        "well-within = \"infinity\"",
        "[update.lock]",
        "[update.lock]\netcd = \"http://a\"\nfleetlock = \"http://a\"",
        "[update.lock]\nfleetlock = \"http://a\"\nat-most = 2",
        "[update.lock]\netcd = \"a\"",
        "[update.peers]\nlist = \"192.0.2.7\"",
        "[update.peers]\ndiscover = \"mdns\"",
        "[update.peers]\nserve = true\nport = 80",
        "[update.peers]\nserve = true\nbandwidth = \"9\"",
        "[update.peers]\nbandwidth = \"9M\"",
        "[update.peers]\nserves = true",
        "[[update.checks]]\nname = \"a\"",
        "[[update.checks]]\nname = \"a\"\nunit = \"a.service\"\ntcp = \"a:1\"",
        "[[update.checks]]\nname = \"a b\"\ntcp = \"a:1\"",
        "[[update.checks]]\nname = \"a\"\nunit = \"a\"",
        "[[update.checks]]\ntcp = \"a:1\"",
        "[[update.checks]]\nname = \"a\"\ncommand = [\"a\\nb\"]",
    ] {
        let (machine, errors) = parse("m.toml", &format!("[update]\n{bad}\n"));
        assert_eq!((machine.update.is_damaged, errors.len()), (true, 1), "{bad}");
    }
    let (damaged, _) = parse("m.toml", "[update]\ndelay = \"soon\"\n");
    let (sound, _) = parse("m.toml", "[update]\ndelay = \"1d\"\n");
    assert!(damaged.overridden_by(sound).update.is_damaged);
}
