"use strict";
const $ = id => document.getElementById(id);
const TASKS = {  // what a given file may be, by its kind; the models say which of them they take
  picture: { image: "is the first frame", last_image: "is the last frame", start: "is what to start from", references: "is shown again" },
  clip: { anew: "is made anew", extend: "is continued", lead_to: "is led to", loop: "becomes a loop", video: "gets new sound", start: "is what to start from" },
  sound: { audio: "is the sound", extend_sound: "is continued", lead_to_sound: "is led to" },
};
let models = [], key = sessionStorage.getItem("key") || "", timer = 0, waiting = 0, given = [];
const pictures = new Map();  // addresses of thumbnails, by job

async function call(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (key) headers.Authorization = "Bearer " + key;
  if (options.json !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method: options.method || "GET", headers,
    body: options.json === undefined ? options.body : JSON.stringify(options.json) });
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
const model = () => models.find(m => m.name === $("model").value) || models[0];

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
  return made;
}

// What is asked for

function request() {
  const asked = { prompt: $("prompt").value };
  if (models.length > 1) asked.model = model().name;
  for (const name of ["width", "height", "frames", "steps", "seed"])
    if ($(name).value !== "") asked[name] = Number($(name).value);
  const chosen = [...$("adapters").querySelectorAll("label")].filter(label => label.firstChild.checked);
  if (chosen.length) asked.adapters = chosen.map(label => ({ name: label.dataset.name, strength: Number(label.lastChild.value) }));
  for (const item of given) {
    if (item.task === "loop") asked.extend = asked.lead_to = item.source;
    else if (item.task === "start") { asked[item.kind === "clip" ? "video" : "image"] = item.source; asked.strength = item.strength; }
    else if (item.task === "references") asked.references = [...(asked.references || []), item.source];
    else asked[item.task === "anew" ? "video" : item.task.replace("_sound", "")] = item.source;
  }
  return asked;
}

function hint() {
  const known = new Set(model().vocabulary);
  const strange = known.size ? $("prompt").value.toLowerCase().split(/[^a-z0-9']+/).filter(w => w && !known.has(w)) : [];
  $("unknown").textContent = strange.length ? "The model does not know: " + [...new Set(strange)].join(", ") : "";
}

async function estimate() {
  try {
    const plan = await (await call("/api/plan", { method: "POST", json: request() })).json();
    $("estimate").textContent = [`${plan.width}×${plan.height}, ${plan.frames} frames: about ${span(plan.estimated_seconds)}` +
      `${plan.calibrated ? "" : " (roughly)"}, ${size(plan.peak_bytes)} on ${plan.device}`, ...plan.notices].join("; ");
  } catch (problem) { $("estimate").textContent = problem.message; }
  look($("plan"), async () => [await report("/api/plan/page", { method: "POST", json: request() })]);
}

// Reports of the command, inside the page

async function report(path, options) {
  const page = new DOMParser().parseFromString(await (await call(path, options)).text(), "text/html");  // whose scripts, had it any, do not run
  return [...page.body.childNodes];
}

// Fills an opened part with what `load` gives, lists of nodes.
async function look(part, load) {
  if (!part.open) return;
  const host = part.querySelector(".report"), root = host.shadowRoot || host.attachShadow({ mode: "open" });
  const style = element("link"), body = element("div");
  Object.assign(style, { rel: "stylesheet", href: "/report.css" });
  body.className = "report";
  try { body.append(...(await load()).flat()); } catch (problem) { element("p", problem.message, body); }
  root.replaceChildren(style, body);
}

function asked() { hint(); clearTimeout(waiting); waiting = setTimeout(estimate, 400); }

function showModel() {
  for (const name of ["width", "height", "frames"]) {
    const range = model().clip[name];
    Object.assign($(name), { min: range.min, max: range.max, step: range.multiple, placeholder: range.preferred });
  }
  const offered = model().adapters.map(({ name }) => {
    const label = element("label"), box = element("input", undefined, label);
    label.dataset.name = name;
    box.type = "checkbox";
    label.append(name);
    Object.assign(element("input", undefined, label), { type: "number", step: 0.1, value: 1, ariaLabel: "Strength of " + name });
    return label;
  });
  $("adapters").replaceChildren($("adapters").firstElementChild, ...offered);
  $("adapters").hidden = !offered.length;
  $("drop").hidden = !Object.keys(TASKS).some(kind => tasksOf(kind).length);
  asked();
}

function tasksOf(kind) {
  const has = task => model().tasks.includes(task);
  return Object.entries(TASKS[kind]).filter(([task]) => task === "loop" ? has("extend") && has("lead_to") : has(task));
}

function give(kind, source, name) {
  const tasks = tasksOf(kind);
  if (!tasks.length) return say("This model takes no " + kind + ".");
  const item = { kind, source, task: tasks[0][0], strength: 0.6 };
  given.push(item);
  const row = element("li", undefined, $("given"));
  const select = element("select", undefined, element("label", name + " ", row));
  for (const [task, text] of tasks) element("option", text, select).value = task;
  const strength = element("label", "made new ", row), range = element("input", undefined, strength);
  Object.assign(range, { type: "range", min: 0.05, max: 1, step: 0.05, value: item.strength });
  const show = () => { strength.hidden = item.task !== "start"; asked(); };
  select.addEventListener("change", () => { item.task = select.value; show(); });
  range.addEventListener("input", () => { item.strength = Number(range.value); asked(); });
  button("Leave out", row, async () => { given = given.filter(other => other !== item); row.remove(); asked(); });
  show();
}

async function upload(file) {
  say("");
  const form = new FormData();
  form.append("file", file);
  try {
    const kept = await (await call("/api/files", { method: "POST", body: form })).json();
    give(kept.kind, { file: kept.id }, file.name);
  } catch (problem) { say(file.name + ": " + problem.message); }
}

// Jobs

// A picture with the key's consent; the clip itself only when somebody wants it.
async function address(path) { return URL.createObjectURL(await (await call(path)).blob()); }

async function show(job, place) {
  if (!pictures.has(job.id)) pictures.set(job.id, await address(job.result.thumbnail));
  const still = element("img");
  still.src = pictures.get(job.id);
  still.alt = job.prompt;
  if (job.result.name.endsWith(".png")) return place.replaceChildren(still);
  const play = element("button");
  Object.assign(play, { type: "button", className: "clip", ariaLabel: "Play: " + job.prompt });
  play.append(still);
  play.addEventListener("click", async () => {
    const clip = element("video");
    Object.assign(clip, { controls: true, loop: true, poster: pictures.get(job.id), src: await address(job.result.url) });
    place.replaceChildren(clip);
    clip.play().catch(() => {});
  });
  place.replaceChildren(play);
}

function state(job) {
  if (job.state === "queued") return `waits behind ${job.ahead.jobs}, about ${span(job.ahead.seconds)}`;
  if (job.state === "running") return job.progress ? `${job.progress.task}, ${span(job.progress.seconds_left)} left` : "begins";
  return job.state === "failed" ? job.error.message : job.state;
}

async function preview(job, item) {
  const image = item.querySelector(".preview"), now = job.progress && job.progress.preview;
  if (!now || image.dataset.step === String(now.step)) return;
  image.dataset.step = now.step;
  const before = image.src;
  try { image.src = await address(now.url); image.hidden = false; } catch { return; }  // it has ended meanwhile
  if (before) URL.revokeObjectURL(before);
}

function draw(job) {
  const item = $(job.id);
  if (item && item.dataset.state === job.state) {
    item.querySelector(".state").textContent = state(job);
    const bar = item.querySelector("progress");
    if (bar && job.progress) { bar.value = job.progress.fraction; preview(job, item); }
    return item;
  }
  const fresh = element("li");
  fresh.id = job.id;
  fresh.dataset.state = job.state;
  if (job.state === "done") show(job, element("div", undefined, fresh)).catch(problem => say(problem.message));
  if (job.state === "running") Object.assign(element("img", undefined, fresh), { className: "preview", alt: "What it looks like so far", hidden: true });
  element("p", job.prompt, fresh);
  element("p", state(job), fresh).className = "state";
  if (job.state === "running") Object.assign(element("progress", undefined, fresh), { max: 1, value: 0, ariaLabel: "Progress" });
  for (const notice of job.notices) element("p", notice, fresh).className = "hint";
  element("p", `${models.length > 1 ? job.model + ", " : ""}${job.width}×${job.height}, ${job.frames} frames, seed ${job.seed}`, fresh).className = "hint";
  if (job.state === "queued" || job.state === "running")
    button("Cancel", fresh, () => call(`/api/jobs/${job.id}/cancel`, { method: "POST" }));
  else {
    button("Again", fresh, () => call("/api/jobs", { method: "POST", json: job.request }));
    button("Vary", fresh, () => { const other = { ...job.request }; delete other.seed;
      return call("/api/jobs", { method: "POST", json: other }); });
    if (job.state === "done")
      button(job.result.name.endsWith(".png") ? "Use" : "Extend", fresh, async () => {
        for (const name of ["width", "height"]) $(name).value = job[name];
        $("prompt").value = $("prompt").value || job.prompt;
        give(job.result.name.endsWith(".png") ? "picture" : "clip", { job: job.id }, job.prompt);
        $("prompt").focus();
      });
    button("Remove", fresh, () => call(`/api/jobs/${job.id}`, { method: "DELETE" }));
  }
  if (job.state === "done") receipt(job, element("details", undefined, fresh));
  if (item) item.replaceWith(fresh);
  return fresh;
}

function receipt(job, part) {
  element("summary", "Receipt", part);
  const text = element("pre", undefined, part);
  part.addEventListener("toggle", async () => {
    if (!part.open || text.textContent) return;
    try { text.textContent = JSON.stringify(await (await call(`/api/jobs/${job.id}/receipt`)).json(), null, 1); }
    catch (problem) { text.textContent = problem.message; }
  });
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
$("ask").addEventListener("input", event => { if (event.target.id !== "file") asked(); });
$("model").addEventListener("change", showModel);
$("plan").addEventListener("toggle", estimate);
$("machine").addEventListener("toggle", () => look($("machine"), async () => {
  const own = await report("/api/machine"), measured = await report("/api/bench").catch(() => []);
  return [own, measured];
}));
$("file").addEventListener("change", async () => { for (const file of $("file").files) await upload(file); $("file").value = ""; });
for (const name of ["dragover", "dragleave", "drop"])
  $("drop").addEventListener(name, event => { event.preventDefault(); $("drop").classList.toggle("over", name === "dragover"); });
$("drop").addEventListener("drop", async event => { for (const file of event.dataTransfer.files) await upload(file); });

(async () => {
  models = (await (await call("/api/models")).json()).models;
  for (const { name } of models) element("option", name, $("model"));
  $("which").hidden = models.length < 2;
  $("about").textContent = models.map(m => m.name).join(", ");
  showModel();
  await refresh();
})().catch(problem => say(problem.message));
