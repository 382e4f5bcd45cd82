//! NVIDIA's GPUs, by the management library that comes with their driver. It is loaded when it is
//! first asked for; where there is none, nothing is said.

use std::ffi::OsStr;
use std::rc::Rc;

use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, PerformancePolicy, TemperatureSensor};

use super::{Reading, Slowdown, Source};

/// The library. A driver's package alone has no file of the plain name.
pub struct Library(Rc<Nvml>);

impl Library {
    /// Loads it; `None` where there is no driver.
    pub fn load() -> Option<Self> {
        let versioned = || Nvml::builder().lib_path(OsStr::new("libnvidia-ml.so.1")).init();
        Nvml::init().or_else(|_| versioned()).ok().map(|nvml| Self(Rc::new(nvml)))
    }

    /// The GPU in the slot that wgpu names, such as `0000:01:00.0`.
    pub fn device(&self, pci_bus_id: &str) -> Option<Gpu> {
        let wanted = slot(pci_bus_id)?;
        let here = |&index: &u32| {
            let info = self.0.device_by_index(index).and_then(|device| device.pci_info());
            info.is_ok_and(|info| slot(&info.bus_id) == Some(wanted))
        };
        let index = (0..self.0.device_count().ok()?).find(here)?;
        Some(Gpu { library: self.0.clone(), index })
    }
}

/// Domain, bus and device of `0000:01:00.0`; the library writes the domain with eight digits.
fn slot(pci_bus_id: &str) -> Option<[u32; 3]> {
    let mut parts = pci_bus_id.split([':', '.']).map(|part| u32::from_str_radix(part, 16).ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// One GPU.
pub struct Gpu {
    library: Rc<Nvml>,
    index: u32,
}

impl Source for Gpu {
    fn read(&mut self) -> Reading {
        let Ok(device) = self.library.device_by_index(self.index) else {
            return Reading::default();
        };
        let counter = |(name, policy): (&str, PerformancePolicy)| {
            let status = device.violation_status(policy).ok()?;
            Some((name.to_owned(), status.violation_time))
        };
        let policies = [
            ("power_violation", PerformancePolicy::Power),
            ("thermal_violation", PerformancePolicy::Thermal),
        ];
        let slowdown = device.current_throttle_reasons().ok().map(|reasons| Slowdown {
            now: names(reasons),
            counters: policies.into_iter().filter_map(counter).collect(),
        });
        Reading {
            clock_mhz: device.clock_info(Clock::SM).ok().map(f64::from),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
            power_w: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
            slowdown,
        }
    }

    fn energy_j(&mut self) -> Option<f64> {
        let device = self.library.device_by_index(self.index).ok()?;
        device.total_energy_consumption().ok().map(|millijoules| millijoules as f64 / 1e3)
    }

    fn free_bytes(&mut self) -> Option<u64> {
        let device = self.library.device_by_index(self.index).ok()?;
        device.memory_info().ok().map(|memory| memory.free)
    }
}

/// The reasons by the names that `nvidia-smi` gives them, and whether each is heat or power. That a
/// GPU idles, as it does before and after sampling, is no reason.
fn names(reasons: ThrottleReasons) -> Vec<(String, bool)> {
    let all = [
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "applications_clocks_setting", false),
        (ThrottleReasons::SW_POWER_CAP, "sw_power_cap", true),
        (ThrottleReasons::HW_SLOWDOWN, "hw_slowdown", true),
        (ThrottleReasons::SYNC_BOOST, "sync_boost", false),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw_thermal_slowdown", true),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw_thermal_slowdown", true),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake_slowdown", true),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display_clock_setting", false),
    ];
    let set = all.into_iter().filter(|(reason, ..)| reasons.contains(*reason));
    set.map(|(_, name, heat_or_power)| (name.to_owned(), heat_or_power)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_compared_whatever_the_width_of_the_domain() {
        assert_eq!(slot("0000:01:00.0"), Some([0, 1, 0]));
        assert_eq!(slot("00000000:0A:1f.0"), Some([0, 10, 31]));
        for bad in ["", "01", "0000:zz:00.0"] {
            assert_eq!(slot(bad), None, "{bad}");
        }
    }

    #[test]
    fn reasons_have_their_names() {
        let both = ThrottleReasons::GPU_IDLE | ThrottleReasons::SW_POWER_CAP;
        assert_eq!(names(both), [("sw_power_cap".to_owned(), true)]);
        let set = names(ThrottleReasons::APPLICATIONS_CLOCKS_SETTING);
        assert_eq!(set, [("applications_clocks_setting".to_owned(), false)]);
        assert_eq!(names(ThrottleReasons::NONE), []);
        assert_eq!(names(ThrottleReasons::all()).len(), 8);
    }

    /// Where there is a driver, a slot that nothing sits in has no device; elsewhere no library.
    #[test]
    fn an_absent_library_or_device_is_none() {
        let device = Library::load().and_then(|library| library.device("ffff:ff:1f.0"));
        assert!(device.is_none());
    }
}
