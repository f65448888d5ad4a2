//! Headless Chromium, driven by its own driver (Debian: `chromium`, `chromium-driver`).

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use thirtyfour::{ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};

/// How long the driver may take to listen.
const START: Duration = Duration::from_secs(20);

/// The driver's process; ended when dropped.
pub struct Chromium {
    driver: Child,
    port: u16,
}

impl Chromium {
    pub fn start() -> anyhow::Result<Chromium> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .arg("--silent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver: apt-get install chromium chromium-driver")?;
        let chromium = Chromium { driver, port };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > START {
                bail!("chromedriver does not listen");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(chromium)
    }

    /// A browser without history; `scripts`: whether it runs JavaScript.
    pub async fn open(&self, scripts: bool) -> anyhow::Result<Browser> {
        self.open_behind(scripts, None).await
    }

    /// The same with a proxy on this machine for every other host.
    pub async fn open_behind(&self, scripts: bool, proxy: Option<u16>) -> anyhow::Result<Browser> {
        let mut wanted = DesiredCapabilities::chrome();
        for arg in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ] {
            wanted.add_arg(arg)?;
        }
        if let Some(port) = proxy {
            wanted.add_arg(&format!("--proxy-server=http://127.0.0.1:{port}"))?;
        }
        if !scripts {
            let setting = json!({ "profile.managed_default_content_settings.javascript": 2 });
            wanted.add_experimental_option("prefs", setting)?;
        }
        let at = format!("http://127.0.0.1:{}", self.port);
        let driver = WebDriver::new(&at, wanted)
            .await
            .context("Chromium does not start")?;
        Ok(Browser { driver })
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// One browser with one page.
pub struct Browser {
    pub driver: WebDriver,
}

impl Browser {
    async fn tell(&self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        let done = self.driver.cdp().send_raw(command, arguments).await;
        done.with_context(|| command.to_owned())
    }

    /// The size of the page in CSS pixels, and light or dark as the reader's system says.
    pub async fn dress(&self, width: u32, dark: bool) -> anyhow::Result<()> {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", size)
            .await?;
        let value = if dark { "dark" } else { "light" };
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.tell("Emulation.setEmulatedMedia", scheme).await?;
        Ok(())
    }

    /// Runs a script of ours in every page before its own; the page's policy does not hold for it.
    pub async fn inject(&self, source: &str) -> anyhow::Result<()> {
        let script = json!({ "source": source });
        self.tell("Page.addScriptToEvaluateOnNewDocument", script)
            .await?;
        Ok(())
    }

    /// Where what is on the screen begins and ends in the page, in CSS pixels from its top.
    pub async fn view(&self) -> anyhow::Result<(f64, f64)> {
        let sizes = self.tell("Page.getLayoutMetrics", json!({})).await?;
        let view = &sizes["cssVisualViewport"];
        let number = |name: &str| view[name].as_f64().with_context(|| name.to_owned());
        let top = number("pageY")?;
        Ok((top, top + number("clientHeight")?))
    }

    /// The whole page as PNG.
    pub async fn picture(&self) -> anyhow::Result<Vec<u8>> {
        let how = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.tell("Page.captureScreenshot", how).await?;
        let text = answer["data"].as_str().context("no picture")?;
        use base64::Engine;
        Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
    }
}
