//! A real headless Chromium, driven by its DevTools protocol over two pipes.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// The widths of a page: of a desktop and of a phone.
pub(super) const DESKTOP: u32 = 1360;
pub(super) const PHONE: u32 = 390;
/// Whether the navigation shows the page's own screen, where it has one.
const OWN_SCREEN_IS_SEEN: &str = "(() => { const own = document.querySelector('.screens [aria-current]')?.getBoundingClientRect(); \
     return !own || (own.left >= 0 && own.right <= innerWidth); })()";
/// The longest picture, in pixels.
const LONGEST: i64 = 2_600;
/// What a page says of itself: violations of the policy, and errors.
const WATCH: &str = "window.wrongs = []; \
    document.addEventListener('securitypolicyviolation', (event) => wrongs.push(event.violatedDirective + ' ' + event.blockedURI)); \
    addEventListener('error', (event) => wrongs.push(String(event.message)));";

pub(super) struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    calls: u64,
    session: Option<String>,
    events: VecDeque<Value>,
    axe: String,
    pictures: PathBuf,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it. `install-tools` installs it where it is missing; without it the test fails.
    pub(super) fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let installed =
            Command::new(root.join("scripts/local/install-tools")).arg("browser").output().unwrap();
        assert!(installed.status.success(), "no browser: {installed:?}");
        let tools = root.join(".local/tools");
        let home = tools.join("browser");
        let profile = tempfile::tempdir().unwrap();
        // The browser reads its commands from descriptor 3 and answers on 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 >/dev/null"])
            .arg(home.join("chromium"))
            .args(["--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--hide-scrollbars"])
            .args(["--remote-debugging-pipe", "--font-render-hinting=none", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("LD_LIBRARY_PATH", home.join("lib"))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let axe = std::fs::read_to_string(tools.join("chromium/node_modules/axe-core/axe.min.js")).unwrap();
        let test = std::env::current_exe().unwrap();
        let pictures = test.ancestors().nth(3).unwrap().join("console");
        std::fs::create_dir_all(&pictures).unwrap();
        let (calls, session, events) = (0, None, VecDeque::new());
        let mut browser =
            Self { process, to, from, calls, session, events, axe, pictures, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}));
        }
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH }));
        browser.looks(DESKTOP, "light");
        browser
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser ended");
        serde_json::from_slice(&message).unwrap()
    }

    fn try_call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.to.write_all(call.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        loop {
            let mut message = self.read();
            if message["id"] == self.calls {
                return if message["error"].is_null() { Ok(message["result"].take()) } else { Err(message) };
            }
            self.events.push_back(message);
        }
    }

    pub(super) fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|problem| panic!("{method}: {problem}"))
    }

    /// The width, and whether it is `light` or `dark`.
    pub(super) fn looks(&mut self, width: u32, theme: &str) {
        let is_phone = width == PHONE;
        let height = if is_phone { 844 } else { 900 };
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone }),
        );
        // No picture shows half of a transition.
        let features = json!([
            { "name": "prefers-color-scheme", "value": theme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Does what leads to another page, and waits until that is loaded.
    pub(super) fn leads(&mut self, act: impl FnOnce(&mut Self)) {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        act(self);
        loop {
            if let Some(place) = self.events.iter().position(|event| event["method"] == "Page.loadEventFired")
            {
                self.events.remove(place);
                return;
            }
            let event = self.read();
            self.events.push_back(event);
        }
    }

    pub(super) fn open(&mut self, url: &str) {
        self.leads(|browser| {
            browser.call("Page.navigate", json!({ "url": url }));
        });
    }

    /// What an expression of the page's is, once it is there.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression holds: the page changes by itself.
    pub(super) fn until(&mut self, expression: &str) {
        let wait = format!(
            "new Promise((done) => {{ const look = () => ({expression}) ? done(true) : requestAnimationFrame(look); look(); }})"
        );
        self.value(&wait);
    }

    /// The text of the page, or of a part.
    pub(super) fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({})?.innerText", json!(selector)));
        text.as_str().unwrap_or_else(|| panic!("no {selector}")).to_owned()
    }

    /// Presses keys, one after the other.
    pub(super) fn press(&mut self, keys: &[(&str, u32)]) {
        for (key, modifiers) in keys {
            let text = if key.chars().count() == 1 && *modifiers == 0 { *key } else { "" };
            let code = if *key == "Enter" { 13 } else { 0 };
            let text = if *key == "Enter" { "\r" } else { text };
            let of = |kind: &str| json!({ "type": kind, "key": key, "text": text, "modifiers": modifiers, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", of("keyDown"));
            let mut up = of("keyUp");
            up["text"] = json!("");
            self.call("Input.dispatchKeyEvent", up);
        }
    }

    /// Types a text into what has the focus.
    pub(super) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Keeps a picture of the page and has it looked through: for everybody, in both themes, on a desktop and on a phone.
    pub(super) fn judge(&mut self, name: &str) {
        for (width, of) in [(DESKTOP, "desktop"), (PHONE, "phone")] {
            for theme in ["light", "dark"] {
                self.looks(width, theme);
                self.picture(&format!("{name}-{theme}-{of}"));
                let wide = self.value("document.documentElement.scrollWidth > innerWidth");
                assert_eq!(wide, false, "{name} is wider than a {of}");
                self.until(OWN_SCREEN_IS_SEEN);
                let axe = self.axe.clone();
                self.value(&format!("{axe}; undefined"));
                let found = self.value(
                    "axe.run().then((all) => all.violations.filter((one) => ['serious', 'critical'].includes(one.impact))\
                     .map((one) => one.id + ': ' + one.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | ')))",
                );
                assert_eq!(found, json!([]), "{name}, {theme}, {of}");
            }
        }
        self.looks(DESKTOP, "light");
        self.is_well(name);
    }

    /// That nothing on the page was against its policy, or an error.
    pub(super) fn is_well(&mut self, name: &str) {
        assert_eq!(self.value("window.wrongs"), json!([]), "{name}");
        let wrongs: Vec<&Value> = self
            .events
            .iter()
            .filter(|event| {
                event["method"] == "Runtime.exceptionThrown"
                    || (event["method"] == "Log.entryAdded" && event["params"]["entry"]["level"] == "error")
            })
            .collect();
        assert!(wrongs.is_empty(), "{name}: {wrongs:#?}");
    }

    fn picture(&mut self, name: &str) {
        let height = self.value("document.documentElement.scrollHeight").as_i64().unwrap();
        self.picture_of(name, height.min(LONGEST));
    }

    /// A picture of the page's top.
    pub(super) fn picture_of(&mut self, name: &str, height: i64) {
        let width = self.value("innerWidth");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let shot = self.call(
            "Page.captureScreenshot",
            json!({ "format": "png", "captureBeyondViewport": true, "clip": clip }),
        );
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(self.pictures.join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
