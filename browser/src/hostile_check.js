// What is wrong with the page: arguments are the width of the window and the texts to be read on it.
const [width, holds] = arguments;
const faults = [...(window.firstbadFaults ?? ["script: not watched"])];

// What our templates consist of. Everything else came with a text.
const TAGS = new Set(`html head meta title link script body main header footer nav section article
  h1 h2 h3 h4 p a span strong em q code pre ul ol li dl dt dd div br small time form fieldset legend
  label input select option optgroup textarea button details summary table thead tbody tr th td
  caption figure figcaption noscript kbd abbr svg g path rect line circle text polyline
  tspan`.split(/\s+/));
const ATTRIBUTES = new Set(`class id href title name value type method action for rel lang content
  charset src alt scope colspan rowspan tabindex role datetime open checked selected disabled required
  maxlength minlength min max step rows cols placeholder autocomplete autocapitalize spellcheck
  inputmode pattern enctype accept multiple defer hidden http-equiv media color viewBox width height x
  y x1 x2 y1 y2 cx cy r rx d points transform preserveAspectRatio text-anchor dx dy fill stroke
  xmlns size download`.split(/\s+/));
const LINK = /^([/?#][^/\\]|[/?]$|[?#])/;
// A mail to be written: everything in it is coded, so that no text can add a field or end the link.
const MAIL = /^mailto:[A-Za-z0-9@.,_~%-]+\?((cc|subject|body)=[A-Za-z0-9@.,_~%-]*(&|$))+$/;

if (document.contentType === "text/html") {
  for (const element of document.querySelectorAll("*")) {
    const tag = element.localName;
    const icon = tag === "img" && element.getAttribute("src").startsWith("/static/");
    if (!TAGS.has(tag) && !icon) faults.push(`element: ${element.outerHTML.slice(0, 120)}`);
    for (const { name, value } of element.attributes) {
      const known = ATTRIBUTES.has(name) || /^(aria|data)-[a-z-]+$/.test(name);
      if (!known) faults.push(`attribute: ${name} of ${element.outerHTML.slice(0, 120)}`);
      if (["href", "action", "src"].includes(name) && value && !LINK.test(value)) {
        const mail = tag === "a" && name === "href" && MAIL.test(value);
        if (!mail && !(tag === "a" && element.rel.includes("noopener"))) faults.push(`link: ${value}`);
      }
    }
  }
  const scripts = [...document.scripts].map((s) => s.getAttribute("src"));
  if (scripts.length !== 1 || !/^\/static\/firstbad\.[0-9a-f]+\.js$/.test(scripts[0])) {
    faults.push(`scripts: ${scripts}`);
  }
  if (!document.title.endsWith("firstbad")) faults.push(`title: ${document.title}`);
}
if (location.origin !== performance.getEntriesByType("navigation")[0]?.name.split("/", 3).join("/")) {
  faults.push(`moved to ${location.href}`);
}
for (const entry of performance.getEntriesByType("resource")) {
  const url = new URL(entry.name);
  if (url.origin !== location.origin) faults.push(`request: ${entry.name}`);
  else if (!/^\/(static\/|live$|jobs|attempts|surveys|trees|workers|favicon\.ico|$)/.test(url.pathname)) {
    faults.push(`request: ${entry.name}`);
  }
}
for (const d of document.querySelectorAll("details")) d.open = true;
const wide = document.documentElement.scrollWidth;
if (wide > width && document.contentType === "text/html") faults.push(`the page is ${wide} pixels wide`);

const plain = (text) => text.replace(/\s+/g, " ");
const fields = [...document.querySelectorAll("input, textarea")].map((f) => f.value);
const shown = plain([document.body?.textContent ?? "", ...fields].join("\n"));
const missing = holds.filter((text) => !shown.includes(plain(text).trim()));
const next = document.querySelector("a[rel=next]")?.href ?? null;
return { faults, missing, next };
