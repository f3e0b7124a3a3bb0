//! Where webhooks of the archive go.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Mutex,
    sync::PoisonError,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tollgate_aws::lambda::Function;
use tollgate_pipeline::replay::{Answer, Mode};

use super::webhook::{REFUSED, Webhook};
use crate::aws::Aws;

/// How often a webhook is handed over again while something does not answer, and the first pause before it. It doubles.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Takes webhooks of the archive.
pub trait Onward: Sync {
    /// Sends one; what became of it. It is one of a few texts; of a refusal [`REFUSED`] and the reason.
    fn send(&self, webhook: &Webhook) -> impl Future<Output = anyhow::Result<String>> + Send;

    /// What it has kept so far is safe; what [`Progress::noted`](super::Progress::noted) says of that.
    fn noted(&self) -> impl Future<Output = anyhow::Result<u64>> + Send {
        std::future::ready(Ok(0))
    }
}

/// The validator of an environment.
#[derive(Debug)]
pub struct Validator {
    function: Function,
    act: String,
    mode: Mode,
}

impl Validator {
    /// That of an environment. `act` is the operator's, which marks what is sent.
    ///
    /// # Errors
    ///
    /// When the configuration has no region or no credentials.
    pub fn of(aws: &Aws, act: impl Into<String>, mode: Mode) -> anyhow::Result<Self> {
        let function = Function::new(&aws.config, &aws.url_of("lambda"), &aws.names.validator())?;
        Ok(Self { function, act: act.into(), mode })
    }

    async fn ask(&self, webhook: &Webhook) -> anyhow::Result<Answer> {
        let event = serde_json::to_string(&webhook.handed(&self.act, self.mode))?;
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.answer(event.clone()).await? {
                Answer::Unavailable { .. } => tokio::time::sleep(pause).await,
                answer => return Ok(answer),
            }
            pause *= 2;
        }
        self.answer(event).await
    }

    async fn answer(&self, event: String) -> anyhow::Result<Answer> {
        let answer = self.function.invoke(event).await.context("asking the validator")?;
        serde_json::from_slice(&answer)
            .context("the validator is of a version that takes no archived webhooks")
    }
}

impl Onward for Validator {
    async fn send(&self, webhook: &Webhook) -> anyhow::Result<String> {
        Ok(match self.ask(webhook).await? {
            Answer::Genuine => "genuine".to_owned(),
            Answer::Accepted(_) => "accepted".to_owned(),
            Answer::Duplicate(_) => "known before".to_owned(),
            Answer::Refused { reason, .. } => format!("{REFUSED}{reason}"),
            Answer::Unavailable { detail } => bail!("the validator cannot take webhooks now: {detail}"),
        })
    }
}

/// A file of lines of JSON, for its owner alone.
#[derive(Debug)]
pub struct Lines(Mutex<File>);

impl Lines {
    /// A new one; of a run that is resumed its file, of which so many bytes are good. Behind them is what was written and not noted.
    ///
    /// # Errors
    ///
    /// When there is such a file already, or what is there is not that of the run that is resumed, or it cannot be written.
    pub fn open(path: &Path, resumed: Option<u64>) -> anyhow::Result<Self> {
        let about = || format!("writing {}", path.display());
        let mut options = OpenOptions::new();
        // A run that has noted nothing may have ended before it made the file.
        options.write(true).mode(0o600).create(resumed == Some(0)).create_new(resumed.is_none());
        let mut file = options.open(path).with_context(about)?;
        let (length, good) = (file.metadata().with_context(about)?.len(), resumed.unwrap_or(0));
        ensure!(
            length >= good,
            "{} has {length} bytes, and the run had written {good}: it is another file",
            path.display()
        );
        ensure!(
            good > 0 || length == 0,
            "{} has {length} bytes, and of none it is known that the run wrote them: move it away, and go on",
            path.display()
        );
        file.set_len(good).with_context(about)?;
        file.seek(SeekFrom::End(0)).with_context(about)?;
        Ok(Self(Mutex::new(file)))
    }
}

impl Onward for Lines {
    async fn send(&self, webhook: &Webhook) -> anyhow::Result<String> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(webhook.line().as_bytes())?;
        Ok("written".to_owned())
    }

    async fn noted(&self) -> anyhow::Result<u64> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.sync_data()?;
        Ok(file.stream_position()?)
    }
}

/// What is genuine goes on: a validator says so, which takes nothing in.
#[derive(Debug)]
pub struct Genuine<O> {
    /// The one that is asked, with [`Mode::Verify`].
    pub judge: Validator,
    /// Where it goes; nowhere where nothing is to be done.
    pub to: Option<O>,
}

impl<O: Onward> Onward for Genuine<O> {
    async fn send(&self, webhook: &Webhook) -> anyhow::Result<String> {
        let verdict = self.judge.send(webhook).await?;
        match &self.to {
            Some(to) if !verdict.starts_with(REFUSED) => to.send(webhook).await,
            _ => Ok(verdict),
        }
    }

    async fn noted(&self) -> anyhow::Result<u64> {
        match &self.to {
            Some(to) => to.noted().await,
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_not_the_runs_own_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let open = |name: &str, resumed: Option<u64>| Lines::open(&file(name), resumed);
        open("new", None).unwrap();
        fs::write(file("there"), "of somebody else\n").unwrap();
        for (name, resumed, why) in [
            ("there", None, "exists"),
            // As where a run had refused it, and was resumed.
            ("there", Some(0), "move it away"),
            ("there", Some(100), "another file"),
            // From another folder, say: it would begin with bytes that nobody wrote.
            ("missing", Some(100), "No such file"),
        ] {
            let refused = format!("{:#}", open(name, resumed).unwrap_err());
            assert!(refused.contains(why), "{name} {resumed:?}: {refused}");
        }
        assert_eq!(fs::read_to_string(file("there")).unwrap(), "of somebody else\n");
        assert!(!file("missing").exists());

        open("not-made-yet", Some(0)).unwrap();
        fs::write(file("own"), "one\ntw").unwrap();
        let lines = open("own", Some(4)).unwrap();
        lines.0.lock().unwrap().write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(file("own")).unwrap(), "one\ntwo\n", "what was not noted is gone");
    }
}
