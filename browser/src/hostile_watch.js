// Runs before any script of the page. What a hostile text would call, it finds here.
window.firstbadFaults = [];
{
  const note = (what) => window.firstbadFaults.push(what);
  const ran = (name) => () => note(`script: ${name} was called`);
  for (const name of ["canary", "alert", "confirm", "prompt", "print"]) {
    Object.defineProperty(window, name, { value: ran(name) });
  }
  document.addEventListener("securitypolicyviolation", (e) =>
    note(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  window.addEventListener("error", (e) => note(`script: ${e.message}`));
  window.addEventListener("unhandledrejection", (e) => note(`script: ${e.reason}`));
}
