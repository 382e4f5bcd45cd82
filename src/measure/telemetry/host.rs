//! The CPU, by the files of Linux: cpufreq or `/proc/cpuinfo` for the clock, RAPL for energy and
//! power, thermal zones or hwmon for the temperature, the counters of thermal throttling. Elsewhere
//! there are no such files, and nothing is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Reading, Slowdown, Source};

/// Time over which power is the change of energy: RAPL's counters change every millisecond.
const POWER_WINDOW: Duration = Duration::from_millis(20);

/// Chips of hwmon that measure a CPU.
const CPU_CHIPS: [&str; 4] = ["coretemp", "k10temp", "zenpower", "cpu_thermal"];

/// The CPU of the machine whose files are below a root.
pub struct Host {
    root: PathBuf,
    packages: Vec<Package>,
}

/// A RAPL domain of a whole package.
struct Package {
    folder: PathBuf,
    /// Where the counter begins anew. Unit: µJ.
    range_uj: Option<u64>,
    last_uj: u64,
    /// Since the first reading. Unit: µJ.
    total_uj: u64,
}

impl Package {
    fn open(folder: PathBuf) -> Option<Self> {
        let name = text(&folder.join("name"))?;
        // `psys` holds the packages too, `dram` and `core` are within or beside one.
        if !name.starts_with("package") {
            return None;
        }
        let last_uj = number(&folder.join("energy_uj"))?;
        let range_uj = number(&folder.join("max_energy_range_uj"));
        Some(Self { folder, range_uj, last_uj, total_uj: 0 })
    }

    /// Energy since it was opened. Unit: µJ.
    fn energy_uj(&mut self) -> Option<u64> {
        let now: u64 = number(&self.folder.join("energy_uj"))?;
        self.total_uj += if now >= self.last_uj {
            now - self.last_uj
        } else {
            // It has begun anew, once: the next look is far sooner than it comes round.
            (self.range_uj? - self.last_uj.min(self.range_uj?)) + now
        };
        self.last_uj = now;
        Some(self.total_uj)
    }
}

impl Host {
    /// The CPU whose `/sys` and `/proc` are below `root`.
    pub fn new(root: &Path) -> Self {
        let domains = entries(&root.join("sys/class/powercap"), "intel-rapl:");
        Self {
            root: root.to_owned(),
            packages: domains.into_iter().filter_map(Package::open).collect(),
        }
    }

    /// The fastest logical CPU's: the others may idle at the moment.
    fn clock_mhz(&self) -> Option<f64> {
        let cpus = entries(&self.root.join("sys/devices/system/cpu"), "cpu");
        let khz =
            cpus.iter().filter_map(|cpu| number::<f64>(&cpu.join("cpufreq/scaling_cur_freq")));
        if let Some(khz) = khz.max_by(f64::total_cmp) {
            return Some(khz / 1e3);
        }
        let info = text(&self.root.join("proc/cpuinfo"))?;
        let lines = info.lines().filter(|line| line.starts_with("cpu MHz"));
        lines.filter_map(|line| line.split(':').nth(1)?.trim().parse().ok()).max_by(f64::total_cmp)
    }

    /// The hottest sensor of the CPU's.
    fn temperature_c(&self) -> Option<f64> {
        let zones = entries(&self.root.join("sys/class/thermal"), "thermal_zone");
        let is_cpu = |zone: &&PathBuf| {
            let kind = text(&zone.join("type")).unwrap_or_default().to_lowercase();
            kind.contains("pkg") || kind.contains("cpu")
        };
        let zones = zones.iter().filter(is_cpu);
        let zones = zones.filter_map(|zone| number::<f64>(&zone.join("temp")));
        let hottest = zones.max_by(f64::total_cmp).or_else(|| {
            let chips = entries(&self.root.join("sys/class/hwmon"), "hwmon");
            let is_cpu = |chip: &&PathBuf| {
                text(&chip.join("name")).is_some_and(|name| CPU_CHIPS.contains(&name.as_str()))
            };
            let sensors = chips.iter().filter(is_cpu).flat_map(|chip| entries(chip, "temp"));
            let inputs = sensors.filter(|sensor| sensor.to_string_lossy().ends_with("_input"));
            inputs.filter_map(|input| number::<f64>(&input)).max_by(f64::total_cmp)
        });
        hottest.map(|thousandths| thousandths / 1e3)
    }

    fn power_w(&mut self) -> Option<f64> {
        let before = self.energy_j()?;
        let started = Instant::now();
        std::thread::sleep(POWER_WINDOW);
        let after = self.energy_j()?;
        Some((after - before) / started.elapsed().as_secs_f64())
    }

    /// How often a core or a package was slowed for heat, over all CPUs.
    fn slowdown(&self) -> Option<Slowdown> {
        let cpus = entries(&self.root.join("sys/devices/system/cpu"), "cpu");
        let sum = |file: &str| -> Option<u64> {
            let counts =
                cpus.iter().map(|cpu| number::<u64>(&cpu.join("thermal_throttle").join(file)));
            counts.flatten().fold(None, |sum, count| Some(sum.unwrap_or(0) + count))
        };
        let counters = [
            ("core_thermal", "core_throttle_count"),
            ("package_thermal", "package_throttle_count"),
        ];
        let counters =
            counters.into_iter().filter_map(|(name, file)| Some((name.to_owned(), sum(file)?)));
        let counters: Vec<_> = counters.collect();
        (!counters.is_empty()).then_some(Slowdown { now: vec![], counters })
    }
}

impl Source for Host {
    fn read(&mut self) -> Reading {
        Reading {
            clock_mhz: self.clock_mhz(),
            temperature_c: self.temperature_c(),
            slowdown: self.slowdown(),
            power_w: self.power_w(),
        }
    }

    fn energy_j(&mut self) -> Option<f64> {
        let total: Option<u64> = self.packages.iter_mut().map(Package::energy_uj).sum();
        total.filter(|_| !self.packages.is_empty()).map(|uj| uj as f64 / 1e6)
    }
}

/// What a folder holds of names that begin so, with a number behind it.
fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder) else { return vec![] };
    let numbered = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let rest = name.as_deref().and_then(|name| name.strip_prefix(prefix)).map(str::to_owned);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut paths: Vec<PathBuf> = found.flatten().map(|e| e.path()).filter(numbered).collect();
    paths.sort();
    paths
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), files);
        root
    }

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn a_machine_without_files_says_nothing() {
        let root = tree(&[]);
        let mut host = Host::new(root.path());
        assert_eq!(host.read(), Reading::default());
        assert_eq!(host.energy_j(), None);
    }

    #[test]
    fn every_file_is_read_where_it_is() {
        let cpu = "sys/devices/system/cpu";
        let root = tree(&[
            (&format!("{cpu}/cpu0/cpufreq/scaling_cur_freq"), "1200000"),
            (&format!("{cpu}/cpu1/cpufreq/scaling_cur_freq"), "3400000"),
            (&format!("{cpu}/cpu0/thermal_throttle/core_throttle_count"), "3"),
            (&format!("{cpu}/cpu1/thermal_throttle/core_throttle_count"), "4"),
            (&format!("{cpu}/cpufreq/boost"), "1"),
            ("proc/cpuinfo", "processor : 0\ncpu MHz\t\t: 9999.0"),
            ("sys/class/thermal/thermal_zone0/type", "acpitz"),
            ("sys/class/thermal/thermal_zone0/temp", "91000"),
            ("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp"),
            ("sys/class/thermal/thermal_zone1/temp", "54500"),
            ("sys/class/hwmon/hwmon0/name", "k10temp"),
            ("sys/class/hwmon/hwmon0/temp1_input", "60000"),
        ]);
        let reading = Host::new(root.path()).read();
        assert_eq!(reading.clock_mhz, Some(3400.0));
        assert_eq!(reading.temperature_c, Some(54.5));
        assert_eq!(reading.power_w, None);
        let counters = vec![("core_thermal".to_owned(), 7)];
        assert_eq!(reading.slowdown, Some(Slowdown { now: vec![], counters }));

        fs::remove_dir_all(root.path().join(cpu)).unwrap();
        fs::remove_dir_all(root.path().join("sys/class/thermal")).unwrap();
        let reading = Host::new(root.path()).read();
        assert_eq!((reading.clock_mhz, reading.temperature_c), (Some(9999.0), Some(60.0)));
    }

    /// Two packages; the counter of one begins anew. The platform's and a sub-domain's are left out.
    #[test]
    fn energy_is_the_packages_and_survives_the_end_of_a_counter() {
        let folder = "sys/class/powercap/intel-rapl";
        let root = tree(&[
            (&format!("{folder}:0/name"), "package-0"),
            (&format!("{folder}:0/energy_uj"), "900"),
            (&format!("{folder}:0/max_energy_range_uj"), "1000"),
            (&format!("{folder}:0:0/name"), "core"),
            (&format!("{folder}:0:0/energy_uj"), "5"),
            (&format!("{folder}:1/name"), "package-1"),
            (&format!("{folder}:1/energy_uj"), "100"),
            (&format!("{folder}:1/max_energy_range_uj"), "1000"),
            (&format!("{folder}:2/name"), "psys"),
            (&format!("{folder}:2/energy_uj"), "77"),
        ]);
        let mut host = Host::new(root.path());
        assert_eq!(host.energy_j(), Some(0.0));
        write(
            root.path(),
            &[(&format!("{folder}:0/energy_uj"), "950"), (&format!("{folder}:1/energy_uj"), "110")],
        );
        assert_eq!(host.energy_j(), Some(60e-6));
        write(
            root.path(),
            &[(&format!("{folder}:0/energy_uj"), "20"), (&format!("{folder}:2/energy_uj"), "9")],
        );
        assert_eq!(host.energy_j(), Some(130e-6));
        assert_eq!(host.read().power_w, Some(0.0));
        fs::remove_file(root.path().join(format!("{folder}:1/energy_uj"))).unwrap();
        assert_eq!(host.energy_j(), None, "half of it would be a lie");
    }
}
