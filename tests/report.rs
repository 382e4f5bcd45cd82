//! `tradeoff report` as a user runs it: what it writes, what it leaves out, and what it refuses.

#[path = "html/results.rs"]
mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;
use results::{learning, product};
use tradeoff::record::{Record, Status};

fn report(arguments: &[&Path]) -> (Option<i32>, String, String) {
    let mut command = Command::cargo_bin("tradeoff").unwrap();
    let output = command.arg("report").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The report of a run, its folder, and what was said on stderr.
fn made(run: &Path) -> (tempfile::TempDir, PathBuf, String) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("report");
    let (code, stdout, stderr) = report(&[run, Path::new("-o"), &folder]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.ends_with("report/index.html\n"), "{stdout}");
    (root, folder, stderr)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == extension));
    files.sort();
    files
}

fn names(folder: &Path, extension: &str) -> Vec<String> {
    let stem = |file: &PathBuf| file.file_stem().unwrap().to_string_lossy().into_owned();
    files(folder, extension).iter().map(stem).collect()
}

/// What is said of the row of [`results::full`] that failed.
const FAILED_ROW: &str = "rows in the table of the page and in no figure: 1 status failed\n";

#[test]
fn every_kind_of_figure_in_every_form() {
    let (_runs, run) = results::full();
    let (_root, folder, stderr) = made(&run);
    assert_eq!(stderr, FAILED_ROW, "no figure is left out");
    let figures = folder.join("figures");
    let svg = names(&figures, "svg");
    for kind in [
        "error-throughput-matmul-64x64x64",
        "error-throughput-sgd-figure2-128x16-b32",
        "throughput-size-matmul",
        "roofline-matmul",
        "roofline-sgd",
        "throughput-size-sgd-figure2-32",
        "throughput-size-sgd-figure2-n",
        "error-k-matmul-normal",
        "error-causes-matmul-normal",
        "loss-time-sgd-figure2-512x16-b1",
        "loss-steps-sgd-figure2-512x16-b1",
        "time-to-loss-sgd-figure2-2048x16-b2048",
        "step-time-sgd-figure2-d8m8-sr",
    ] {
        assert!(svg.iter().any(|name| name == kind), "{kind} among {svg:?}");
    }
    assert_eq!(names(&figures, "pdf"), svg);
    assert_eq!(names(&figures, "tex"), svg);
    assert_eq!(names(&folder.join("tables"), "tex"), svg);
    for pdf in files(&figures, "pdf") {
        let bytes = fs::read(&pdf).unwrap();
        assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 5000, "{}", pdf.display());
        let embedded = bytes.windows(10).any(|window| window == b"/FontFile2");
        assert!(embedded, "no font in {}", pdf.display());
    }
}

/// Values of an attribute, in order.
fn attributes<'a>(svg: &'a str, name: &str) -> Vec<&'a str> {
    let key = format!(" {name}=\"");
    svg.split(key.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn a_figure_fits_a_column_and_nothing_is_clipped() {
    let (_runs, run) = results::full();
    let (_root, folder, _) = made(&run);
    for file in files(&folder.join("figures"), "svg") {
        let (svg, file) = (fs::read_to_string(&file).unwrap(), file.display());
        assert_eq!(attributes(&svg, "width")[0], "84.00mm", "{file}");
        let size: Vec<f64> =
            attributes(&svg, "viewBox")[0].split(' ').map(|n| n.parse().unwrap()).collect();
        // One unit is a point: 84 mm are 238.11 of them, and a page has 247 mm for a figure.
        assert!((size[2] - 84.0 / 25.4 * 72.0).abs() < 0.01 && size[3] < 700.0, "{file}: {size:?}");
        for text in attributes(&svg, "font-size") {
            assert!(text.parse::<f64>().unwrap() >= 6.0, "{file}: text of {text} pt");
        }
        for d in attributes(&svg, "d") {
            // Of an arc only the ends are places.
            let ends = d.replace('A', "L").replace('Z', "");
            for place in ends.split(['M', 'L']).filter(|place| !place.is_empty()) {
                let n: Vec<f64> = place.split([' ', ',']).map(|n| n.parse().unwrap()).collect();
                let (x, y) = (n[n.len() - 2], n[n.len() - 1]);
                let inside = (0.0..=size[2]).contains(&x) && (0.0..=size[3]).contains(&y);
                assert!(inside, "{file}: {x} {y} of {d}");
            }
        }
        for (x, y) in attributes(&svg, "x").iter().zip(attributes(&svg, "y")) {
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((0.0..size[2]).contains(&x) && (0.0..size[3]).contains(&y), "{file}: {x} {y}");
        }
    }
}

/// Both units' roofs, once each, where their columns say: the level lines of throughput against
/// size, and the roofline's, which rise to the ridge first.
#[test]
fn roofs_are_drawn_where_they_were_measured() {
    let (_runs, run) = results::full();
    let (_root, folder, _) = made(&run);
    let read = |name: &str| fs::read_to_string(folder.join("figures").join(name)).unwrap();
    for (figure, corners) in [("throughput-size-matmul", 2), ("roofline-matmul", 3)] {
        let svg = read(&format!("{figure}.svg"));
        // One panel a device.
        for label in [">f32_fma 4000<", ">dot4 8000<"] {
            assert_eq!(svg.matches(label).count(), 2, "{figure}: {label}");
        }
        let tex = read(&format!("{figure}.tex"));
        let lines: Vec<&str> = tex.lines().filter(|line| line.contains("f32\\_fma")).collect();
        assert_eq!(lines.len(), 2, "{tex}");
        for line in lines {
            let way = line.split(['{', '}']).nth(1).unwrap();
            assert_eq!(way.matches('(').count(), corners, "{way}");
            assert!(way.ends_with(",4e3)"), "{way}");
            assert_eq!(way.contains("(2e1,4e3)"), corners == 3, "ridge at 4000 over 200: {way}");
        }
    }
    assert!(!read("throughput-size-sgd-figure2-32.svg").contains("f32_fma"), "counts numbers");

    let rows = [64, 128].map(|size| Record {
        peak_throughput: None,
        ..product("cpu", "fp32", "mirror", size, 1e4 * size as f64, 1e-7)
    });
    let (_runs, run) = results::run(&rows);
    let (_root, folder, stderr) = made(&run);
    assert!(stderr.contains("TRADEOFF_ROOFLINE=off"), "{stderr}");
    assert!(!folder.join("figures/roofline-matmul.svg").exists());
}

/// Of two texts on one line of a figure, the second begins behind the first; DejaVu Sans is at
/// least a quarter of its size wide on average.
#[test]
fn labels_of_an_axis_do_not_overlap() {
    let rows: Vec<Record> = (0..24)
        .map(|i| product("cpu", "fp32", "mirror", 64 + 8 * i, 1e4 * (1.0 + i as f64), 1e-7))
        .collect();
    let (_runs, run) = results::run(&rows);
    let (_root, folder, _) = made(&run);
    let svg = fs::read_to_string(folder.join("figures/throughput-size-matmul.svg")).unwrap();
    let mut labels: Vec<(f64, String)> = vec![];
    for element in svg.split("<text ").skip(1) {
        let (head, rest) = element.split_once('>').unwrap();
        let head = format!(" {head}");
        let content = rest.split("</text>").next().unwrap();
        if head.contains("middle") && content.parse::<f64>().is_ok() {
            labels.push((attributes(&head, "x")[0].parse().unwrap(), content.to_owned()));
        }
    }
    assert!(labels.len() > 5 && labels.len() < 24, "{labels:?}");
    for pair in labels.windows(2) {
        // A digit of DejaVu Sans is 0.636 of its size wide.
        let half = |label: &str| 0.5 * 0.636 * 6.0 * label.len() as f64;
        let gap = pair[1].0 - half(&pair[1].1) - pair[0].0 - half(&pair[0].1);
        assert!(gap > 0.0, "{pair:?}");
    }
}

#[test]
fn an_error_of_zero_has_a_lane_of_its_own() {
    let (_runs, run) = results::full();
    let (_root, folder, _) = made(&run);
    let read = |name: &str| fs::read_to_string(folder.join("figures").join(name)).unwrap();
    assert!(read("error-throughput-matmul-64x64x64.svg").contains(">≤ 0<"));
    assert!(!read("error-throughput-matmul-256x256x256.svg").contains(">≤ 0<"));
    let tex = read("error-throughput-matmul-64x64x64.tex");
    assert!(tex.contains("extra y tick labels={$\\leq 0$}"), "{tex}");
}

/// The tick stands at the bound that the row states, and nowhere where it states none.
#[test]
fn a_bound_is_that_of_the_plotted_error() {
    let two = [("fp32", 1e5, 1e-7), ("fp16", 5e4, 1e-3)]
        .map(|(precision, ns, error)| product("cpu", precision, "k", 64, ns, error));
    let figure = |rows: &[Record]| {
        let (_runs, run) = results::run(rows);
        let (_root, folder, _) = made(&run);
        let tex = folder.join("tables/error-throughput-matmul-64x64x64.tex");
        let page = fs::read_to_string(folder.join("index.html")).unwrap();
        (fs::read_to_string(tex).unwrap(), page)
    };
    // 1e-6 + 50 errors.
    let (table, page) = figure(&two);
    assert!(table.contains("$6.00\\cdot10^{-6}$") && table.contains("0.0500"), "{table}");
    assert!(page.contains("a-priori bound on the plotted error"));
    assert!(page.contains("6.00·10⁻⁶ (deterministic)"), "the details do not tell the bound");
    let (table, page) = figure(&two.map(|r| Record { relative_frobenius_bound: None, ..r }));
    assert!(!table.contains("bound"), "{table}");
    assert!(!page.contains("a-priori bound"));
}

/// Products whose error is 3e-8·√k at fp32 and constant at fp16, by kernels of which the fastest changes
/// with the size.
fn growing() -> Vec<Record> {
    let mut rows = vec![];
    for size in [64, 256, 1024] {
        let (ns, root) = (1e2 * (size * size) as f64, (size as f64).sqrt());
        rows.push(product("cpu", "fp32", "tiled", size, ns, 3e-8 * root));
        // Faster, but for the longest sum, and of another error.
        let other = if size < 1024 { 0.5 } else { 2.0 };
        rows.push(product("cpu", "fp32", "naive", size, other * ns, 6e-8 * root));
        rows.push(product("cpu", "fp16", "tiled", size, 0.3 * ns, 2.9e-4));
    }
    rows
}

/// The line is fitted to one kernel's errors, and the key tells its exponent and that of theory.
#[test]
fn error_against_k_has_a_fitted_line_and_that_of_theory() {
    let (_runs, run) = results::run(&growing());
    let (_root, folder, _) = made(&run);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let svg = read("figures/error-k-matmul-normal.svg");
    for text in [">0.50 [0.50, 0.50]<", ">0.00 [0.00, 0.00]<", ">½<", ">exponent of theory<"] {
        assert!(svg.contains(text), "{text} in {svg}");
    }
    let tex = read("figures/error-k-matmul-normal.tex");
    assert!(tex.contains("{fp32: 0.50 [0.50, 0.50]; theory 1/2}"), "{tex}");
    let table = read("tables/error-k-matmul-normal.tex");
    let fitted = "cpu, fp16: exponent of k 0.00 [0.00, 0.00], theory 0";
    assert!(table.contains(fitted) && !table.contains("naive"), "{table}");

    // Two sizes leave no degree of freedom.
    let two: Vec<Record> = growing().into_iter().filter(|row| row.k != Some(256)).collect();
    let (_runs, run) = results::run(&two);
    let (_root, folder, _) = made(&run);
    let svg = fs::read_to_string(folder.join("figures/error-k-matmul-normal.svg")).unwrap();
    assert!(svg.contains(">0.50 (2 points)<"), "{svg}");
}

/// Segments are as wide as the squares of the parts, at the size at which most were measured.
#[test]
fn causes_are_stacked_as_squares() {
    let mut rows = growing();
    rows.push(Record {
        parts_over_error: Some(1.25),
        ..product("cpu", "bf16", "tiled", 256, 1e6, 2.4e-3)
    });
    let (_runs, run) = results::run(&rows);
    let (_root, folder, _) = made(&run);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let svg = read("figures/error-causes-matmul-normal.svg");
    assert!(svg.contains(">cpu, 256x256x256<"), "{svg}");
    assert!(svg.contains(">2.90·10⁻⁴<") && svg.contains(">0.00240 † 1.25<"), "{svg}");
    let widths = |colour: &str| -> Vec<f64> {
        let rects = svg.split("<rect ").skip(1).map(|rect| format!(" {rect}"));
        let rects = rects.filter(|rect| attributes(rect, "fill")[0].eq_ignore_ascii_case(colour));
        rects.map(|rect| attributes(&rect, "width")[0].parse().unwrap()).collect()
    };
    // The last of each colour is the legend's.
    let (conversion, sums) = (widths("#E69F00"), widths("#0072B2"));
    assert_eq!((conversion.len(), sums.len()), (4, 4), "{svg}");
    for (conversion, sums) in conversion.iter().zip(&sums).take(3) {
        // Widths are written to a hundredth of a point.
        assert!((conversion / sums - 9.0 / 16.0).abs() < 0.01, "{conversion} {sums}");
    }
    let tex = read("figures/error-causes-matmul-normal.tex");
    assert!(tex.contains("(36.0000,0) (36.0000,1) (36.0000,2)"), "{tex}");
    let table = read("tables/error-causes-matmul-normal.tex");
    assert!(
        table.contains("bf16, tiled & 0.00144 & 0.00192 & 0 & 0.00240 & 1.25 & R1:"),
        "{table}"
    );
    let page = read("index.html");
    assert!(page.contains("conversion of the operands 0.00144 (36 % in squares)"), "{page}");
    assert!(page.contains("<summary>10 rows</summary>"), "the table of the errors");
}

/// A device's panel can be compared with the next one's at a glance.
#[test]
fn panels_of_the_page_share_their_scales() {
    let rows: Vec<Record> = [("gpu-a", 1e3), ("cpu", 1e6)]
        .iter()
        .flat_map(|&(device, ns)| {
            [64, 256].map(|size| product(device, "fp32", "k", size, ns * size as f64, 1e-7))
        })
        .collect();
    let (_runs, run) = results::run(&rows);
    let (_root, folder, _) = made(&run);
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    let figure = page.split("<figure id=\"figure-throughput-size-matmul\"").nth(1).unwrap();
    let figure = figure.split("</figure>").next().unwrap();
    let ticks = |card: &str| -> Vec<String> {
        let texts = card.split("<text ").skip(1).filter_map(|text| text.split(['>', '<']).nth(1));
        texts.filter(|text| text.parse::<f64>().is_ok()).map(str::to_owned).collect()
    };
    let cards: Vec<Vec<String>> = figure.split("class=\"card\"").skip(1).map(ticks).collect();
    assert_eq!(cards.len(), 2);
    assert!(cards[0].len() > 3 && cards[0] == cards[1], "{cards:?}");
}

/// Inputs of other parameters and roundings of other random bits are other settings.
#[test]
fn parameters_and_random_bits_are_told_apart() {
    let rows = [4, 8].map(|digits| {
        [4, 16].map(|bits| Record {
            case_id: format!("matmul/fp16-sr/k/64x64x64-{digits}-{bits}/cpu"),
            distribution: "cancel".into(),
            distribution_parameters: format!("digits={digits}"),
            rounding_bits: Some(bits),
            ..product("cpu", "fp16-sr", "k", 64, 1e5 + f64::from(bits), 1e-3 / f64::from(bits))
        })
    });
    let (_runs, run) = results::run(&rows.concat());
    let (_root, folder, _) = made(&run);
    let svg = names(&folder.join("figures"), "svg");
    let causes = ["error-causes-matmul-cancel-digits-4", "error-causes-matmul-cancel-digits-8"];
    assert!(causes.iter().all(|id| svg.iter().any(|name| name == id)), "{svg:?}");
    let svg = folder.join("figures/error-throughput-matmul-64x64x64-cancel-digits-8.svg");
    let svg = fs::read_to_string(svg).unwrap();
    assert!(svg.contains(">fp16-sr<") && svg.contains(">fp16-sr r=4<"), "{svg}");
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    let label = "matrix product 64x64x64, cancel(digits=8) inputs, on cpu";
    assert!(page.contains(label), "{label}");
}

/// Devices whose arithmetic differs stand beside each other in a table of their own.
#[test]
fn fingerprints_are_a_table() {
    let (_runs, run) = results::run(&growing());
    let json = run.join("run.json");
    let mut provenance: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let device = |fma: &str, hash: &str| {
        let observed = serde_json::json!({ "fma": { "a * b + c": fma }, "f": { "exp": "1 ULP" } });
        serde_json::json!({ "observed": observed, "sha256": hash })
    };
    provenance["fingerprints"] = serde_json::json!({
        "cpu": device("rounded twice", "0123456789abcdef"),
        "gpu_0": device("rounded once", "fedcba9876543210"),
    });
    fs::write(&json, provenance.to_string()).unwrap();
    let (_root, folder, _) = made(&run);
    let table = fs::read_to_string(folder.join("tables/fingerprints.tex")).unwrap();
    assert!(table.contains("fma: a * b + c & rounded twice & rounded once \\\\"), "{table}");
    assert!(table.contains("0123456789ab &") && table.contains("gpu\\_0"), "{table}");
    let document = fs::read_to_string(folder.join("report.tex")).unwrap();
    assert!(document.contains("\\input{tables/fingerprints.tex}"), "{document}");
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(page.contains("<code>fedcba987654</code>"), "no hash");
}

/// Caches, layouts and numbers of products are told apart, and named where not the default.
#[test]
fn conditions_have_figures_of_their_own() {
    let two = [("fp32", 1e5, 1e-7), ("fp16", 5e4, 1e-3)]
        .map(|(precision, ns, error)| product("cpu", precision, "k", 64, ns, error));
    let cold = two.clone().map(|row| Record {
        case_id: format!("{}-cold", row.case_id),
        cache: "cold".into(),
        operand_layout: "tn".into(),
        batch_count: Some(8),
        ..row
    });
    let (_runs, run) = results::run(&[two, cold].concat());
    let (_root, folder, _) = made(&run);
    let svg = names(&folder.join("figures"), "svg");
    let stem = "error-throughput-matmul-64x64x64";
    let other = format!("{stem}-cold-caches--operands-tn--8-at-once");
    assert!(svg.iter().any(|name| name == stem) && svg.contains(&other), "{svg:?}");
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    let label = "matrix product 64x64x64, normal inputs, cold caches, operands tn, 8 at once, on";
    assert!(page.contains(label), "no dial of its own");
}

/// The page opens with the product whose frontier trades most, not with the most settings.
#[test]
fn the_first_dial_trades_most() {
    let rows = [
        product("flat", "fp32", "k", 64, 1e5, 1e-7),
        product("flat", "fp16", "k", 64, 0.9e5, 1.1e-7),
        product("flat", "int8", "k", 64, 0.8e5, 1.2e-7),
        product("steep", "fp32", "k", 64, 1e5, 1e-7),
        product("steep", "fp16", "k", 64, 2e4, 1e-3),
        learning("D32fM32f", 128, 32, 0.1, 1e6, 1e-6),
        learning("D8M8", 128, 32, 0.1, 1e4, 0.5),
        product("near", "fp32", "k", 64, 1e5, 1e-7),
        product("near", "int8", "k", 64, 0.99e5, 1e-2),
    ];
    let (_runs, run) = results::run(&rows);
    let (_root, folder, _) = made(&run);
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    let chosen = page.lines().find(|line| line.contains("<option value=\"1\"")).unwrap();
    assert!(chosen.contains(" selected") && chosen.contains("steep"), "{chosen}");
    assert!(page.contains("operands 16-bit, sums 32-bit"), "no gloss");
    // The intervals of ±2 % touch.
    let contested = "Worth it only if it is really faster than fp32, which these samples do not";
    assert_eq!(page.matches(contested).count(), 1, "a lead that is not settled");
}

/// The time to a gap is that of the first recorded step there, at the learning rate that is there
/// soonest; what never gets there stands in a lane of its own.
#[test]
fn time_to_a_gap_is_read_off_the_trajectory() {
    let rows = [
        learning("D32fM32f", 128, 32, 0.1, 1e6, 0.01),
        learning("D32fM32f", 128, 32, 0.01, 1e5, 0.05),
        learning("D8M8", 128, 32, 0.1, 1e5, 0.5),
    ];
    let (_runs, run) = results::run(&rows);
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("report");
    let arguments = [&run, Path::new("-o"), &folder, Path::new("--target-gap"), Path::new("0.06")];
    assert_eq!(report(&arguments).0, Some(0));
    let table = fs::read_to_string(folder.join("tables/time-to-loss-sgd-figure2-128x16-b32.tex"));
    let table = table.unwrap();
    // Gap 0.05·100/step: 0.1 at step 50, 0.05 at step 100, which 1e5 ns have come to.
    assert!(
        table.contains(
            "D32fM32f, α = 0.01, mirror & 0.100 [0.0500, 0.100] & R1:3"
                .replace('α', "$\\alpha$")
                .as_str()
        ),
        "{table}"
    );
    assert!(table.contains("& never & R1:4"), "{table}");
}

#[test]
fn a_page_cites_the_line_of_every_row() {
    let (_runs, run) = results::full();
    let (_root, folder, _) = made(&run);
    let page = fs::read_to_string(folder.join("index.html")).unwrap().replace("&#x2f;", "/");
    let csv = fs::read_to_string(run.join("measurements.csv")).unwrap();
    let name = run.file_name().unwrap().to_string_lossy();
    for line in 2..=csv.lines().count() {
        assert!(page.contains(&format!("<td>{name}/measurements.csv, line {line}</td>")), "{line}");
    }
    let parent = run.parent().unwrap().to_string_lossy().into_owned();
    assert!(!page.contains(&parent), "the page tells where its author keeps results");
    for address in ["http://", "https://", "src=", "@import", "url("] {
        let own = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(address), "{address} in a page that needs no network");
    }
    assert!(page.contains("&quot;logical_cores&quot;"), "run.json is not in the page");
}

#[test]
fn texts_of_others_stay_texts() {
    let odd = "</script><img src=x onerror=alert(1)>\\input{x}_%$";
    // Longer than the name of a file may be.
    let shape = "8x".repeat(400);
    let rows = [
        Record {
            device: odd.into(),
            device_name: odd.into(),
            shape: shape.clone(),
            ..product("d", "fp32", "a", 64, 1e5, 1e-7)
        },
        Record {
            device: odd.into(),
            device_name: odd.into(),
            precision: odd.into(),
            kernel: odd.into(),
            case_id: odd.into(),
            shape,
            ..product("d", "fp16", "a", 64, 5e4, 1e-3)
        },
    ];
    let (_runs, run) = results::run(&rows);
    let (_root, folder, _) = made(&run);
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    assert_eq!(page.matches("</script>").count(), 2, "a text ended a script");
    assert!(!page.contains("<img"), "a text became markup");
    for file in files(&folder.join("figures"), "svg") {
        assert!(!fs::read_to_string(file).unwrap().contains("<img"));
    }
    for file in files(&folder.join("figures"), "tex") {
        let tex = fs::read_to_string(file).unwrap();
        assert!(tex.contains("\\textbackslash{}input\\{x\\}") && !tex.contains("\\input"), "{tex}");
    }
}

#[test]
fn what_is_not_measured_is_left_out_with_a_remedy() {
    let roofed = product("cpu", "fp32", "mirror", 64, 1e5, 1e-7);
    let one = [Record { peak_throughput: None, ..roofed.clone() }];
    let (_runs, run) = results::run(&one);
    let (_root, folder, stderr) = made(&run);
    assert_eq!(files(&folder.join("figures"), "svg"), [] as [PathBuf; 0]);
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 9, "{stderr}");
    assert!(lines.iter().all(|line| line.starts_with("left out: ") && line.contains("measure")));

    // Two settings on one device at one size: two figures, of one panel each.
    let second = product("cpu", "fp16", "mirror", 64, 5e4, 1e-3);
    let two = [one[0].clone(), Record { peak_throughput: None, ..second }];
    let (_runs, run) = results::run(&two);
    let (_root, folder, stderr) = made(&run);
    let two = ["error-causes-matmul-normal", "error-throughput-matmul-64x64x64"];
    assert_eq!(names(&folder.join("figures"), "svg"), two);
    assert_eq!(stderr.lines().count(), 7, "{stderr}");

    // One row stands against the roofs of its device, so it has that figure alone.
    let (_runs, run) = results::run(&[roofed]);
    let (_root, folder, stderr) = made(&run);
    assert_eq!(names(&folder.join("figures"), "svg"), ["roofline-matmul"]);
    assert_eq!(stderr.lines().count(), 8, "{stderr}");
}

/// What a refused report must not leave: the folder, or a draft of it.
fn refused(run: &Path, told: &[&str]) {
    let root = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = report(&[run, Path::new("-o"), &root.path().join("report")]);
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(stdout, "");
    for text in told {
        assert!(stderr.contains(text), "`{text}` in {stderr}");
    }
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "something is left behind");
}

#[test]
fn bad_files_are_named_with_line_and_remedy() {
    let (_runs, run) = results::full();
    let csv = run.join("measurements.csv");
    let good = fs::read_to_string(&csv).unwrap();
    let edited = |text: &str, told: &[&str]| {
        fs::write(&csv, text).unwrap();
        refused(&run, told);
    };
    let header = good.lines().next().unwrap();
    edited("", &["measurements.csv", "line 1"]);
    edited(&format!("{header}\n"), &["measurements.csv", "no row follows"]);
    edited(&good[..good.len() - 40], &["ends within this row"]);
    edited("a,b\n1,2\n", &["measurements.csv", "line 1"]);
    edited(&good.replacen("case_id,", "", 1), &["line 1", "case_id"]);
    edited(&good.replacen("ok,\n", "splendid,\n", 1), &["line 2", "status", "splendid"]);
    let second = good.lines().nth(1).unwrap();
    edited(&format!("{good}{second}\n"), &["already", "delete one"]);
    refused(&run.join("nothing"), &["nothing"]);
    fs::write(&csv, &good).unwrap();
    let trajectory = run.join("trajectory.csv");
    let whole = fs::read_to_string(&trajectory).unwrap();
    fs::write(&trajectory, &whole[..whole.len() - 9]).unwrap();
    refused(&run, &["trajectory.csv", "ends within this row"]);
    fs::write(&trajectory, &whole).unwrap();
    fs::write(run.join("run.json"), "{").unwrap();
    refused(&run, &["run.json", "line 1"]);
}

#[test]
fn rows_that_cannot_be_drawn_are_no_report() {
    let bad = Record { primary_error: Some(f64::NAN), ..product("cpu", "fp32", "m", 64, 1e5, 0.0) };
    let (_runs, run) = results::run(&[bad]);
    refused(&run, &["none of 1 rows can be drawn", "line 2", "NaN"]);
    // One row that cannot be used is no reason to draw the others as if they were all.
    let good = product("cpu", "fp32", "m", 64, 1e5, 1e-7);
    let bad = Record { median_ns: Some(f64::NAN), ..product("cpu", "bf16", "m", 64, 1e5, 1e-3) };
    let (_runs, run) = results::run(&[good, bad]);
    refused(&run, &["measurements.csv`, line 3, column `median_ns`: `NaN`", "delete it"]);
    let empty = Record { throughput: None, ..product("cpu", "fp32", "m", 64, 1e5, 1e-7) };
    let (_runs, run) = results::run(&[empty]);
    refused(&run, &["line 2, column `throughput`: empty"]);
    let failed = Record { status: Status::Failed, ..product("cpu", "fp32", "m", 64, 1e5, 1e-7) };
    let (_runs, run) = results::run(&[failed]);
    refused(&run, &["(0 have status ok)", "status failed"]);
}

#[test]
fn a_folder_is_replaced_only_if_it_is_a_report_and_one_says_so() {
    let (_runs, run) = results::full();
    let (_root, folder, _) = made(&run);
    let again = |extra: &[&Path]| {
        let mut arguments = vec![run.as_path(), Path::new("-o"), &folder];
        arguments.extend(extra);
        report(&arguments)
    };
    let (code, _, stderr) = again(&[]);
    assert!(code == Some(2) && stderr.contains("--force"), "{stderr}");
    fs::write(folder.join("figures/stray.svg"), "").unwrap();
    let (code, _, stderr) = again(&[Path::new("--force")]);
    assert_eq!((code, stderr.as_str()), (Some(0), FAILED_ROW));
    assert!(!folder.join("figures/stray.svg").exists(), "the old report is still there");
    let siblings = fs::read_dir(folder.parent().unwrap()).unwrap().count();
    assert_eq!(siblings, 1, "a draft is left behind");

    fs::remove_file(folder.join("index.html")).unwrap();
    let (code, _, stderr) = again(&[Path::new("--force")]);
    assert!(code == Some(2) && stderr.contains("something else than a report"), "{stderr}");
    assert!(folder.join("report.tex").exists(), "what is no report was removed");
}

#[test]
fn an_output_that_cannot_be_written_says_so() {
    let (_runs, run) = results::full();
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "mine").unwrap();
    for folder in [file.clone(), file.join("report")] {
        let (code, _, stderr) = report(&[&run, Path::new("-o"), &folder]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("file") && stderr.contains("-o"), "{stderr}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

/// A limit on the size of files refuses a write as a full disk does, half way through the report.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing() {
    let (_runs, run) = results::full();
    let root = tempfile::tempdir().unwrap();
    let program = Command::cargo_bin("tradeoff").unwrap().get_program().to_owned();
    // The shell counts in units of 512 or 1024 bytes: with either, enough for all but the page.
    let (_root, whole, _) = made(&run);
    let size = |file: PathBuf| fs::metadata(file).unwrap().len();
    let mut others = vec![whole.join("report.tex")];
    for extension in ["svg", "pdf", "tex"] {
        others.extend(files(&whole.join("figures"), extension));
        others.extend(files(&whole.join("tables"), extension));
    }
    let units = others.into_iter().map(size).max().unwrap() / 512 + 1;
    assert!(units * 1024 < size(whole.join("index.html")), "the page is no longer the largest");
    let script = format!("ulimit -f {units}; trap '' XFSZ; exec \"$0\" report \"$1\" -o \"$2\"");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .arg(&run)
        .arg(root.path().join("report"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("index.html") && stderr.contains("free space"), "{stderr}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "half a report is left behind");
}

/// One column of panels would be longer than a page.
#[test]
fn many_devices_stand_in_two_columns() {
    let devices = ["a", "b", "c", "d", "e", "f", "g"];
    let rows = devices.iter().flat_map(|device| {
        [("fp32", 1e5, 1e-7), ("fp16", 5e4, 1e-3)]
            .map(|(precision, ns, error)| product(device, precision, "k", 64, ns, error))
    });
    let (_runs, run) = results::run(&rows.collect::<Vec<_>>());
    let (_root, folder, _) = made(&run);
    let stem = folder.join("figures/error-throughput-matmul-64x64x64");
    let svg = fs::read_to_string(stem.with_extension("svg")).unwrap();
    assert_eq!(attributes(&svg, "width")[0], "174.00mm");
    let height = attributes(&svg, "height")[0].trim_end_matches("mm").parse::<f64>().unwrap();
    assert!(height < 230.0, "{height} mm");
    let tex = fs::read_to_string(stem.with_extension("tex")).unwrap();
    assert!(tex.contains("group size=2 by 4"), "{tex}");
}
