//! The archive's SQL in DuckDB, on copies of the objects in a folder of this machine.
//!
//! Objects are written once, so a copy is good for ever. The copies hold bodies: the folder is its owner's alone.

use std::{
    ffi::OsString,
    fmt::Write as _,
    num::NonZero,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt;
use tollgate_archive::read::{Finder, Next, Wanted};

use super::{
    Query,
    objects::{Object, Objects},
    sql::{TABLE, literal},
};

/// Objects that are fetched at once.
const AT_ONCE: usize = 16;
/// What DuckDB may use of this machine's memory; what needs more goes to its folder.
const MEMORY: &str = "2GB";

/// DuckDB's command line, and where the copies are.
#[derive(Debug, Clone)]
pub struct DuckDb {
    /// The program.
    pub program: PathBuf,
    /// The folder, for one bucket alone.
    pub folder: PathBuf,
}

impl DuckDb {
    /// Bytes of objects that are not here yet.
    pub fn missing(&self, objects: &Objects) -> u64 {
        objects.readable.iter().filter(|object| !self.has(object)).map(|object| object.bytes).sum()
    }

    fn has(&self, object: &Object) -> bool {
        std::fs::metadata(self.folder.join(&object.key)).is_ok_and(|file| file.len() == object.bytes)
    }

    /// Fetches what is missing. `done` is told the bytes of each object that was fetched. Whoever stops it goes on later
    /// where it was.
    ///
    /// # Errors
    ///
    /// When AWS does not answer or the folder cannot be written.
    pub async fn fetch(
        &self,
        s3: &aws_sdk_s3::Client,
        bucket: &str,
        objects: &Objects,
        done: impl Fn(u64),
    ) -> anyhow::Result<()> {
        let missing = objects.readable.iter().filter(|object| !self.has(object));
        stream::iter(missing)
            .map(async |object| {
                let fetched = s3.get_object().bucket(bucket).key(&object.key).send().await;
                let fetched = fetched.map_err(aws_sdk_s3::Error::from);
                let fetched = fetched.with_context(|| format!("fetching {bucket}/{}", object.key))?;
                let bytes = fetched.body.collect().await.context("reading an object")?.into_bytes();
                ensure!(bytes.len() as u64 == object.bytes, "{} is not as long as S3 said", object.key);
                keep(&self.folder.join(&object.key), &bytes)
                    .with_context(|| format!("writing into {}", self.folder.display()))?;
                done(object.bytes);
                anyhow::Ok(())
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Those of the objects that have what a query looks for. Of an id the objects' footers and filters say it, so that DuckDB need not
    /// open the others.
    async fn narrowed(&self, query: &Query, objects: &Objects) -> anyhow::Result<Vec<Object>> {
        let Some(wanted) = query.wanted().map(Arc::new) else { return Ok(objects.readable.clone()) };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let each = objects.readable.len().div_ceil(threads).max(1);
        let parts = objects.readable.chunks(each).map(|part| {
            let (part, folder, wanted) = (part.to_vec(), self.folder.clone(), Arc::clone(&wanted));
            tokio::task::spawn_blocking(move || {
                let mut holding = Vec::new();
                for object in part {
                    let about = || format!("reading the copy of {}", object.key);
                    if holds(&folder.join(&object.key), &wanted).with_context(about)? {
                        holding.push(object);
                    }
                }
                anyhow::Ok(holding)
            })
        });
        let mut readable = Vec::new();
        for part in futures_util::future::join_all(parts).await {
            readable.extend(part.context("looking through the copies")??);
        }
        Ok(readable)
    }

    /// The rows of a query's statement over these objects, which are all [fetched](Self::fetch).
    ///
    /// # Errors
    ///
    /// When a copy does not read, or DuckDB cannot be run, or refuses.
    pub async fn rows(
        &self,
        query: &Query,
        sql: &str,
        objects: &Objects,
    ) -> anyhow::Result<Vec<Map<String, Value>>> {
        let readable = self.narrowed(query, objects).await?;
        if readable.is_empty() {
            return Ok(Vec::new());
        }
        let mut script = self.prelude(&readable)?;
        let _ = writeln!(script, "{sql};");
        let mut child = tokio::process::Command::new(&self.program)
            // No file of the user's, and an end at the first error.
            .args(["-batch", "-bail", "-init", "/dev/null", "-jsonlines"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let mut input = child.stdin.take().context("no way to tell DuckDB anything")?;
        let told = async move {
            let told = input.write_all(script.as_bytes()).await;
            drop(input);
            told
        };
        let (told, output) = tokio::join!(told, child.wait_with_output());
        let output = output.context("waiting for DuckDB")?;
        // It quotes the statement, whose texts are the user's own; nothing of the archive.
        if !output.status.success() {
            bail!("DuckDB: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        told.context("telling DuckDB the statement")?;
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).context("DuckDB's answer is no line of JSON")).collect()
    }

    /// The view that the table is in Athena, and what Athena has by itself.
    fn prelude(&self, objects: &[Object]) -> anyhow::Result<String> {
        let temporary = self.folder.join("temporary");
        let mut script = format!(
            "SET TimeZone = 'UTC';\nSET parquet_metadata_cache = true;\nSET memory_limit = '{MEMORY}';\nSET temp_directory = {};\n\
             CREATE MACRO from_utf8(b) AS coalesce(try(decode(b)), CAST(b AS VARCHAR));\n\
             CREATE VIEW {TABLE} AS SELECT * FROM read_parquet([",
            path(&temporary)?
        );
        for object in objects {
            script.push_str(&path(&self.folder.join(&object.key))?);
            script.push(',');
        }
        // By name: objects from before a column was added have null there.
        script.push_str(
            "], hive_partitioning = true, hive_types = {'date': VARCHAR}, union_by_name = true);\n",
        );
        Ok(script)
    }
}

/// Whether an object has a row that is looked for.
fn holds(file: &Path, wanted: &Arc<Wanted>) -> anyhow::Result<bool> {
    let file = std::fs::File::open(file)?;
    let length = file.metadata()?.len();
    let mut finder = Finder::new(length, Arc::clone(wanted))?;
    let mut ranges = vec![Finder::tail(length)];
    loop {
        for range in ranges {
            let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start))?];
            file.read_exact_at(&mut bytes, range.start)?;
            finder.give(range, bytes.into())?;
        }
        ranges = loop {
            match finder.advance()? {
                Next::Needs(ranges) => break ranges,
                Next::Rows(rows) if rows.is_empty() => {}
                Next::Rows(_) => return Ok(true),
                Next::Nothing => return Ok(false),
            }
        };
    }
}

fn path(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().filter(|text| !text.contains(|c: char| c.is_control()));
    Ok(literal(text.context("the folder's name is no text")?))
}

/// Writes a file whole or not at all, for its owner alone.
fn keep(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let folder = file.parent().unwrap_or(file);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut part: OsString = file.into();
    part.push(format!(".{}.part", std::process::id()));
    let mut open = std::fs::OpenOptions::new();
    let mut written = open.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    written.write_all(bytes)?;
    drop(written);
    std::fs::rename(&part, file)
}
