"use strict";
const $ = id => document.getElementById(id);
let model = null, key = sessionStorage.getItem("key") || "", media = new Map(), timer = 0;

async function call(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (key) headers.Authorization = "Bearer " + key;
  if (options.json !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method: options.method || "GET", headers,
    body: options.json === undefined ? undefined : JSON.stringify(options.json) });
  if (response.status === 401) { await askForKey(); return call(path, options); }
  if (!response.ok) throw new Error((await response.json().catch(() => ({ error: { message: response.statusText } }))).error.message);
  return response;
}

function askForKey() {
  const dialog = $("key");
  if (!dialog.open) dialog.showModal();
  return new Promise(done => dialog.addEventListener("close", () => {
    key = $("secret").value.trim();
    sessionStorage.setItem("key", key);
    done();
  }, { once: true }));
}

const say = text => { $("problem").textContent = text; };
const span = seconds => seconds == null ? "an unknown time" : seconds < 90 ? Math.ceil(seconds) + " s"
  : seconds < 5400 ? Math.round(seconds / 60) + " min" : (seconds / 3600).toFixed(1) + " h";
const size = bytes => bytes < 2 ** 30 ? Math.ceil(bytes / 2 ** 20) + " MiB" : (bytes / 2 ** 30).toFixed(1) + " GiB";

function request() {
  const asked = { prompt: $("prompt").value };
  for (const name of ["width", "height", "frames", "steps", "seed"])
    if ($(name).value !== "") asked[name] = Number($(name).value);
  return asked;
}

function hint() {
  const known = new Set(model.vocabulary);
  const strange = known.size ? $("prompt").value.toLowerCase().split(/[^a-z0-9']+/).filter(w => w && !known.has(w)) : [];
  $("unknown").textContent = strange.length ? "The model does not know: " + [...new Set(strange)].join(", ") : "";
}

async function estimate() {
  try {
    const plan = await (await call("/api/plan", { method: "POST", json: request() })).json();
    $("estimate").textContent = `${plan.width}×${plan.height}, ${plan.frames} frames: about ${span(plan.estimated_seconds)}` +
      `${plan.calibrated ? "" : " (roughly)"}, ${size(plan.peak_bytes)} on ${plan.device}`;
  } catch (problem) { $("estimate").textContent = problem.message; }
}

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function button(text, parent, act) {
  const made = element("button", text, parent);
  made.type = "button";
  made.addEventListener("click", () => act().then(refresh).catch(problem => say(problem.message)));
}

async function show(job, place) {
  if (!media.has(job.id)) media.set(job.id, URL.createObjectURL(await (await call(job.result.url)).blob()));
  const made = element(job.result.name.endsWith(".png") ? "img" : "video");
  made.src = media.get(job.id);
  if (made.tagName === "VIDEO") { made.controls = true; made.loop = true; } else made.alt = job.prompt;
  place.replaceChildren(made);
}

function state(job) {
  if (job.state === "queued") return `waits behind ${job.ahead.jobs}, about ${span(job.ahead.seconds)}`;
  if (job.state === "running") return job.progress ? `${job.progress.task}, ${span(job.progress.seconds_left)} left` : "begins";
  return job.state === "failed" ? job.error.message : job.state;
}

function draw(job) {
  let item = $(job.id);
  if (item && item.dataset.state === job.state) {
    item.querySelector(".state").textContent = state(job);
    const bar = item.querySelector("progress");
    if (bar && job.progress) bar.value = job.progress.fraction;
    return item;
  }
  const fresh = element("li");
  fresh.id = job.id;
  fresh.dataset.state = job.state;
  if (job.state === "done") show(job, element("div", undefined, fresh)).catch(problem => say(problem.message));
  element("p", job.prompt, fresh);
  element("p", state(job), fresh).className = "state";
  if (job.state === "running") { const bar = element("progress", undefined, fresh); bar.max = 1; bar.value = 0; bar.ariaLabel = "Progress"; }
  element("p", `${job.width}×${job.height}, ${job.frames} frames, seed ${job.seed}`, fresh).className = "hint";
  if (job.state === "queued" || job.state === "running")
    button("Cancel", fresh, () => call(`/api/jobs/${job.id}/cancel`, { method: "POST" }));
  else {
    button("Again", fresh, () => call("/api/jobs", { method: "POST", json: job.request }));
    button("Vary", fresh, () => { const other = { ...job.request }; delete other.seed;
      return call("/api/jobs", { method: "POST", json: other }); });
    button("Remove", fresh, () => call(`/api/jobs/${job.id}`, { method: "DELETE" }));
  }
  if (item) item.replaceWith(fresh);
  return fresh;
}

async function refresh() {
  clearTimeout(timer);
  try {
    const jobs = (await (await call("/api/jobs?limit=50")).json()).jobs;
    const kept = new Set(jobs.map(job => job.id));
    for (const item of [...$("jobs").children]) if (!kept.has(item.id)) item.remove();
    jobs.forEach((job, index) => { const item = draw(job);
      if ($("jobs").children[index] !== item) $("jobs").insertBefore(item, $("jobs").children[index] || null); });
    $("none").hidden = jobs.length > 0;
    const busy = jobs.some(job => job.state === "queued" || job.state === "running");
    timer = setTimeout(refresh, busy ? 1000 : 5000);
  } catch (problem) { say(problem.message); timer = setTimeout(refresh, 5000); }
}

$("ask").addEventListener("submit", async event => {
  event.preventDefault();
  say("");
  try { await call("/api/jobs", { method: "POST", json: request() }); await refresh(); } catch (problem) { say(problem.message); }
});
let waiting = 0;
$("ask").addEventListener("input", () => { hint(); clearTimeout(waiting); waiting = setTimeout(estimate, 400); });

(async () => {
  model = await (await call("/api/model")).json();
  $("model").textContent = model.name;
  for (const name of ["width", "height", "frames"]) {
    const range = model.clip[name];
    Object.assign($(name), { min: range.min, max: range.max, step: range.multiple, placeholder: range.preferred });
  }
  hint();
  await estimate();
  await refresh();
})().catch(problem => say(problem.message));
