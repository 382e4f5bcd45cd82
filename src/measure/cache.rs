//! What one run found out about a device and later runs can use: JSON values by key, one file each,
//! in the user's cache folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use etcetera::BaseStrategy;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::session::Session;
use crate::gpu::DeviceInfo;
use crate::hexadecimal::hexadecimal;

/// Whether to measure what a cache may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Neither measured nor taken from the cache.
    Off,
    /// Measured where none is cached.
    #[default]
    Cached,
    /// Measured, and cached anew.
    Force,
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "cached" => Ok(Self::Cached),
            "force" => Ok(Self::Force),
            _ => Err(format!("`{text}` is neither off, cached nor force")),
        }
    }
}

/// What every key has of the device whose property is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Adapter {
    device: String,
    backend: String,
    driver: String,
    driver_info: String,
}

impl Adapter {
    pub(super) fn of(info: &DeviceInfo) -> Self {
        Self {
            device: info.name.clone(),
            backend: info.backend.clone(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
        }
    }
}

/// A value that could not be taken from the cache, or not kept in it. Neither stops a run.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system names no folder for caches.
    #[error("no cache folder: {0}; set TRADEOFF_CACHE to a folder")]
    NoFolder(String),
    /// The file is there and cannot be read.
    #[error("cannot read `{}`: {source}; delete it, or set TRADEOFF_CACHE to another folder", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not one that this program wrote for the key.
    #[error("`{}` is no entry of this cache ({why}); delete it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        why: String,
    },
    /// The file cannot be written.
    #[error("cannot write `{}`: {source}; set TRADEOFF_CACHE to a folder that can be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A folder of cached values.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// What a file holds. The key stands beside the value, so that a file that was renamed, or whose
/// name collides, is seen.
#[derive(Serialize, Deserialize)]
struct Entry {
    key: Value,
    value: Value,
}

impl Cache {
    /// The cache in `folder`, or else in the system's folder for caches (`$XDG_CACHE_HOME/tradeoff`,
    /// `~/.cache/tradeoff`, or what Windows names). Nothing is made until a value is stored.
    ///
    /// # Errors
    /// [`CacheError::NoFolder`] where neither is known.
    pub fn open(folder: Option<&Path>) -> Result<Self, CacheError> {
        if let Some(folder) = folder {
            return Ok(Self { folder: folder.to_owned() });
        }
        let system = etcetera::choose_base_strategy();
        let system = system.map_err(|error| CacheError::NoFolder(error.to_string()))?;
        Ok(Self { folder: system.cache_dir().join("tradeoff") })
    }

    /// The value of `kind` stored under `key`, or `None` where there is none.
    ///
    /// # Errors
    /// [`CacheError::Read`] and [`CacheError::Foreign`]: to be told and then taken for `None`.
    pub fn load<T: DeserializeOwned>(
        &self,
        kind: &str,
        key: &impl Serialize,
    ) -> Result<Option<T>, CacheError> {
        let (path, key) = self.place(kind, key);
        let foreign = |why: String| CacheError::Foreign { path: path.clone(), why };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(foreign("it is no text".to_owned()));
            }
            Err(source) => return Err(CacheError::Read { path, source }),
        };
        let entry: Entry = serde_json::from_str(&text).map_err(|e| foreign(e.to_string()))?;
        if entry.key != key {
            return Err(foreign("it was stored under another key".to_owned()));
        }
        serde_json::from_value(entry.value).map(Some).map_err(|e| foreign(e.to_string()))
    }

    /// [`Cache::load`] where what cannot be used goes to `tell`, with what is done `instead`.
    pub(super) fn load_or_tell<T: DeserializeOwned>(
        &self,
        kind: &str,
        key: &impl Serialize,
        instead: &str,
        tell: &mut dyn FnMut(&str),
    ) -> Option<T> {
        self.load(kind, key).unwrap_or_else(|error| {
            tell(&format!("warning: {error}; {instead}"));
            None
        })
    }

    /// Stores a value of `kind` (a word for the file's name) under `key`, in place of any earlier
    /// one. The file appears whole or not at all, whatever other processes do meanwhile.
    ///
    /// # Errors
    /// [`CacheError::Write`].
    pub fn store(
        &self,
        kind: &str,
        key: &impl Serialize,
        value: &impl Serialize,
    ) -> Result<(), CacheError> {
        let (path, key) = self.place(kind, key);
        let write = || {
            let entry = Entry { key, value: serde_json::to_value(value)? };
            let text = serde_json::to_string_pretty(&entry)? + "\n";
            fs::create_dir_all(&self.folder)?;
            let draft = path.with_extension(format!("{}.draft", std::process::id()));
            let placed = fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path));
            if placed.is_err() {
                // Nothing is lost if it stays.
                let _ = fs::remove_file(&draft);
            }
            placed
        };
        write().map_err(|source| CacheError::Write { path: path.clone(), source })
    }

    /// The file of a key, and the key as JSON. A key that is no JSON, which no plain struct is, is
    /// null.
    fn place(&self, kind: &str, key: &impl Serialize) -> (PathBuf, Value) {
        let key = serde_json::to_value(key).unwrap_or_default();
        let digest = Sha256::digest(key.to_string());
        let name = hexadecimal(&digest[..8]);
        (self.folder.join(format!("{kind}-{name}.json")), key)
    }
}

/// What computes for a device whose work is done by the processor, as a part of a key: the
/// processor `cpu`, its threads, and what limits them. `None` for any other device.
pub(super) fn host(info: &DeviceInfo, cpu: &str) -> Option<[String; 3]> {
    let threads = if info.backend == "cpu" {
        rayon::current_num_threads()
    } else {
        std::thread::available_parallelism().map_or(0, Into::into)
    };
    let limit = std::env::var("LP_NUM_THREADS").unwrap_or_default();
    (info.device_type == "cpu").then(|| [cpu.to_owned(), threads.to_string(), limit])
}

impl Session {
    /// The cache that the selection names, or the system's; that there is none goes to `tell`.
    pub(super) fn open_cache(&self, tell: &mut dyn FnMut(&str)) -> Option<Cache> {
        let cache = Cache::open(self.selection.cache.as_deref());
        cache.map_err(|error| tell(&format!("warning: {error}"))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Peak {
        gflops: f64,
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(&root.path().join("deeper/cache"))).unwrap();
        (root, cache)
    }

    fn files(cache: &Cache) -> Vec<PathBuf> {
        fs::read_dir(&cache.folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_value_comes_back_under_its_own_key_and_kind() {
        let (_root, cache) = cache();
        assert_eq!(cache.load::<Peak>("roofline", &("gpu", 1)).unwrap(), None);
        // A number whose shortest decimal form must lead back to the same bits.
        let peak = Peak { gflops: 0.1 + 0.2 };
        cache.store("roofline", &("gpu", 1), &Peak { gflops: 7.0 }).unwrap();
        cache.store("roofline", &("gpu", 1), &peak).unwrap();
        assert_eq!(cache.load("roofline", &("gpu", 1)).unwrap(), Some(peak));
        assert_eq!(cache.load::<Peak>("roofline", &("gpu", 2)).unwrap(), None);
        assert_eq!(cache.load::<Peak>("tuner", &("gpu", 1)).unwrap(), None);
        assert_eq!(files(&cache).len(), 1, "no draft is left");
    }

    #[test]
    fn what_is_no_entry_is_told_with_its_file() {
        let (_root, cache) = cache();
        cache.store("roofline", &"gpu", &Peak { gflops: 1.0 }).unwrap();
        let path = files(&cache).remove(0);
        let whole = fs::read_to_string(&path).unwrap();
        let cases: [(Vec<u8>, &str); 5] = [
            (whole[..whole.len() / 2].into(), "EOF"),
            (b"".into(), "EOF"),
            (vec![0xff, 0xfe, 0x00], "no text"),
            (whole.replace("\"gpu\"", "\"other\"").into(), "another key"),
            (whole.replace("1.0", "\"fast\"").into(), "invalid type"),
        ];
        for (bytes, told) in cases {
            fs::write(&path, bytes).unwrap();
            let error = cache.load::<Peak>("roofline", &"gpu").unwrap_err().to_string();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(error.contains(told) && error.contains(&file), "{error}");
        }
        cache.store("roofline", &"gpu", &Peak { gflops: 2.0 }).unwrap();
        assert_eq!(cache.load("roofline", &"gpu").unwrap(), Some(Peak { gflops: 2.0 }));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = Cache::open(Some(&file.join("below"))).unwrap();
        let error = cache.store("roofline", &"gpu", &Peak { gflops: 1.0 }).unwrap_err();
        assert!(error.to_string().contains("TRADEOFF_CACHE"), "{error}");
    }
}
