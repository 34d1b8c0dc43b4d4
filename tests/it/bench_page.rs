//! The page of a benchmark in a real browser: what is drawn, in light and dark.

#[path = "bench_page/png.rs"]
mod png;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use data_encoding::BASE64;
use kiln::bench::{Document, page};
use serde_json::{Value, json};

use super::skip::skip;
use png::Picture;

const PROBE: &str = include_str!("bench_page/probe.js");
/// The policy of the page, which forbids the script of this test.
const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\"";

fn browser() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let names = ["chromium-headless-shell", "chromium"];
    let found = env::split_paths(&path).flat_map(|directory| names.map(|name| directory.join(name)));
    found.into_iter().find(|program| program.is_file())
}

/// A result with all that can stand in the way of a chart: a wide spread, a value of 0, medians far apart, long names, markup in
/// them, and more variants than colours.
fn document(directory: &Path) -> Document {
    let variants: Vec<String> = (0..9).map(|number| format!("variant-{number}")).collect();
    let titles = [
        "host itself",
        "9p, cache=mmap",
        "virtiofsd 1.14, cache auto, one queue",
        "embedded, 2 queues",
        "block device",
        "a <b>bold</b> & \"quoted\" name",
        "seven",
        "eight",
        "a title that is so long that no chart of any width has room for it",
    ];
    let variant =
        |number: usize| json!({ "id": variants[number], "title": titles[number], "reference": number == 0 });
    let scenario = |id: &str, title: &str, group: &str, unit: &str| json!({ "id": id, "title": title, "group": group, "unit": unit });
    let scenarios = [
        scenario("create", "create 10,000 files", "Metadata", "seconds"),
        scenario("stat", "stat 10,000 files & <more>", "Metadata", "seconds"),
        scenario("read", "sequential read, 1 MiB, 4 jobs", "Throughput", "bytes_per_second"),
        scenario("boot", "cold start", "Far apart", "seconds"),
        scenario("none", "an empty phase", "Zero", "seconds"),
    ];
    let mut results = Vec::new();
    let mut add = |scenario: &str, variant: usize, samples: &[f64]| {
        let quartiles = json!({ "lower": 0, "median": 0, "upper": 0 });
        results.push(json!({
            "scenario": scenario, "variant": variants[variant], "samples": samples, "quartiles": quartiles, "ratio": null,
        }));
    };
    for number in 0..9 {
        let base = 1.0 + number as f64 * 0.7;
        add("create", number, &[base, base * 1.3, base * 0.9, base * 1.1, base]);
        add("read", number, &[base * 1e8, base * 1.02e8, base * 0.99e8, base * 1e8]);
    }
    add("stat", 0, &[0.2, 0.21, 0.2, 0.22]);
    add("stat", 2, &[0.8, 1.9, 2.6, 6.4]);
    add("boot", 0, &[0.0015, 0.0016, 0.0014, 0.0015]);
    add("boot", 1, &[0.029, 0.031, 0.03, 0.028]);
    add("boot", 3, &[14.6, 14.2, 15.1, 14.4]);
    add("none", 1, &[0.0, 0.0, 0.0, 0.0]);
    let text = json!({
        "schema": "kiln-bench/1", "suite": "demo", "seed": 7, "options": [["rounds", "5"]],
        "fingerprint": {
            "facts": [["kiln", "0.1.0"], ["processor", "A processor with a name of ordinary length @ 2.00GHz"]],
            "load_average": { "start": 0.5, "end": 1.0 },
        },
        "variants": (0..9).map(variant).collect::<Vec<_>>(), "scenarios": scenarios, "results": results,
    });
    let path = directory.join("demo.json");
    fs::write(&path, text.to_string()).unwrap();
    Document::read(&path).unwrap()
}

/// A scheme of the page: the name, and blink's number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Dark = 0,
    Light = 1,
}

fn chromium(browser: &Path, directory: &Path, scheme: Scheme) -> Command {
    // A browser that hangs is a failure.
    let mut command = Command::new("timeout");
    command
        .arg("120")
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
        .args(["--window-size=1000,3400", "--virtual-time-budget=5000"])
        .arg(format!("--blink-settings=preferredColorScheme={}", scheme as u8))
        .arg(format!("--user-data-dir={}", directory.join("profile").display()))
        // Fonts and settings of this user change nothing, and nothing is written to their home.
        .env("HOME", directory)
        .stdin(Stdio::null());
    command
}

/// Where the axis begins and ends, in the units of a chart.
const LEFT: f64 = 284.0;
const RIGHT: f64 = 764.0;

/// What the browser says of the page, by the script that this test adds to it.
fn drawn(browser: &Path, directory: &Path, html: &str, scheme: Scheme) -> Value {
    let (before, rest) = html.split_once(POLICY).expect("the page has a policy");
    let (_, after) = rest.split_once('>').expect("the tag ends");
    let with_script =
        format!("{before}{after}").replace("</body>", &format!("<script>{PROBE}</script></body>"));
    let path = directory.join("probed.html");
    fs::write(&path, with_script).unwrap();
    let output = chromium(browser, directory, scheme).arg("--dump-dom").arg(&path).output().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let found =
        dom.split_once("<pre id=\"probe\" hidden=\"\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (encoded, _) = found.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_slice(&BASE64.decode(encoded.as_bytes()).unwrap()).unwrap()
}

fn screenshot(browser: &Path, directory: &Path, page: &Path, scheme: Scheme) -> Picture {
    let picture = directory.join(format!("{scheme:?}.png"));
    let output = chromium(browser, directory, scheme)
        .arg(format!("--screenshot={}", picture.display()))
        .arg(page)
        .output()
        .unwrap();
    let png = fs::read(&picture);
    let png = png.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    // For a person who wants to look at it.
    if let Some(kept) = env::var_os("KILN_TEST_SCREENSHOTS") {
        fs::copy(&picture, Path::new(&kept).join(format!("{scheme:?}.png"))).unwrap();
    }
    Picture::of_png(&png)
}

/// Left, top, right and bottom.
fn rectangle(value: &Value) -> [f64; 4] {
    let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| value[name].as_f64().unwrap());
    [x, y, x + width, y + height]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The relative luminance of `rgb(r, g, b)` (WCAG 2).
fn luminance(colour: &str) -> f64 {
    let numbers = colour.trim_start_matches("rgb(").trim_end_matches(')');
    let linear = |channel: &str| {
        let value = channel.trim().parse::<f64>().unwrap_or_else(|_| panic!("{colour}")) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = numbers.split(',').map(linear).collect::<Vec<_>>().try_into().unwrap();
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Texts are within the view box, and none lies on another one.
fn check_texts(chart: &Value, page: &str) {
    let texts = list(&chart["texts"]);
    let [width, height] = [0, 1].map(|side| chart["view"][side].as_f64().unwrap());
    for (number, one) in texts.iter().enumerate() {
        let mut own = rectangle(one);
        let name = text(&one["text"]);
        // A name is cut where the axis begins.
        if text(&one["kind"]) == "name" {
            own[2] = own[2].min(LEFT);
        }
        assert!(own[0] >= 0.0 && own[1] >= 0.0 && own[2] <= width && own[3] <= height, "{name}: {own:?}");
        assert!(own[2] > own[0] && own[3] > own[1], "{name} has no size: is there a font?");
        assert!(contrast(text(&one["colour"]), page) >= 4.5, "{name}: {} on {page}", one["colour"]);
        for two in &texts[number + 1..] {
            let mut other = rectangle(two);
            if text(&two["kind"]) == "name" {
                other[2] = other[2].min(LEFT);
            }
            let apart = own[2] <= other[0] || other[2] <= own[0] || own[3] <= other[1] || other[3] <= own[1];
            assert!(apart, "{name} {own:?} lies on {} {other:?}", two["text"]);
        }
    }
}

/// Bars begin at one line, their lengths are as their values, and each sample has a mark on the axis.
fn check_bars(chart: &Value, page: &str) {
    let rows = list(&chart["rows"]);
    let longest = rows.iter().map(|row| row["value"].as_f64().unwrap()).fold(0.0, f64::max);
    let bar = |row: &Value| list(&row["bars"]).first().map(rectangle);
    let scale = rows.iter().filter_map(bar).map(|bar| bar[2] - bar[0]).fold(0.0, f64::max)
        / longest.max(f64::MIN_POSITIVE);
    for row in rows {
        let value = row["value"].as_f64().unwrap();
        let range = rectangle(&row["range"]);
        if let Some(bar) = bar(row) {
            assert!((bar[0] - LEFT).abs() < 0.1, "{bar:?}");
            assert!((bar[2] - bar[0] - value * scale).abs() < 0.5, "{value}: {bar:?}, {scale} a unit");
            // The quartiles are around the median.
            assert!(range[0] <= bar[2] + 0.1 && bar[2] - 0.1 <= range[2], "{range:?} {bar:?}");
        }
        let samples = list(&row["samples"]);
        assert!(samples.len() >= 4, "{row}");
        assert!(samples.iter().all(|x| (LEFT - 0.1..=RIGHT + 0.1).contains(&x.as_f64().unwrap())), "{row}");
        assert!(contrast(text(&row["outline"]), page) >= 3.0, "{} on {page}", row["outline"]);
    }
}

#[test]
fn a_browser_draws_the_page_as_it_is_meant_in_light_and_dark() {
    let Some(browser) = browser() else { return skip("Chromium (images/setup.sh browser)") };
    let directory = tempfile::tempdir().unwrap();
    let document = document(directory.path());
    let html = page(&document);
    let path = directory.path().join("page.html");
    fs::write(&path, &html).unwrap();
    for scheme in [Scheme::Light, Scheme::Dark] {
        let drawn = drawn(&browser, directory.path(), &html, scheme);
        assert_eq!(drawn["dark"], scheme == Scheme::Dark);
        let background = text(&drawn["page"]);
        assert_eq!(luminance(background) < 0.5, scheme == Scheme::Dark, "{background}");
        assert_eq!(drawn["overflow"], 0, "the page is wider than the window");
        for one in list(&drawn["texts"]) {
            assert!(contrast(text(&one["colour"]), background) >= 4.5, "{one} on {background}");
        }
        let charts = list(&drawn["charts"]);
        assert_eq!(charts.len(), 4);
        for chart in charts {
            check_texts(chart, background);
            check_bars(chart, background);
            assert_eq!(chart["label"], "title desc");
            assert!(text(&chart["description"]).starts_with("Medians. "), "{chart}");
        }
        // On a logarithmic axis there are medians and no bars: from 1.5 ms by way of 29.5 ms to 14.5 s.
        let medians: Vec<f64> =
            list(&charts[2]["rows"]).iter().map(|row| row["medians"][0].as_f64().unwrap()).collect();
        let (near, far) = (medians[1] - medians[0], medians[2] - medians[1]);
        assert!(
            (near / far - (29.5_f64 / 1.5).log10() / (14.5_f64 / 0.0295).log10()).abs() < 0.01,
            "{medians:?}"
        );
        assert!(list(&charts[2]["rows"]).iter().all(|row| list(&row["bars"]).is_empty()));
        // No two entries of a legend look alike, with colours and without.
        for legend in list(&drawn["looks"]) {
            let entry =
                |entry: &Value| ["colour", "pattern", "shape"].map(|name| text(&entry[name]).to_owned());
            let looks: Vec<[String; 3]> = list(legend).iter().map(entry).collect();
            assert_eq!(looks.iter().collect::<BTreeSet<_>>().len(), looks.len());
            let grey: BTreeSet<_> = looks.iter().map(|[_, pattern, shape]| (pattern, shape)).collect();
            assert_eq!(grey.len(), looks.len());
        }
        let picture = screenshot(&browser, directory.path(), &path, scheme);
        let colours = picture.colours();
        let most = colours.iter().max_by_key(|(_, count)| **count).unwrap();
        let [red, green, blue] = *most.0;
        assert_eq!(format!("rgb({red}, {green}, {blue})"), background, "most of the picture is the page");
        let rest = picture.width * picture.height - most.1;
        assert!(
            rest > picture.pixels.len() / 50 && colours.len() > 50,
            "{rest} pixels, {} colours",
            colours.len()
        );
        // The first bar's colour, which only a chart has.
        assert!(colours.get(&[0x00, 0x72, 0xb2]).is_some_and(|count| *count > 500));
    }
}
