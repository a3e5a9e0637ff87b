// The live page: `layout` says what there is, `look` what has changed of it; see events.rs.

const $ = (id) => document.getElementById(id);
const make = (tag, props = {}, ...children) => {
  const { label, ...rest } = props;
  const element = Object.assign(document.createElement(tag), rest);
  if (label) element.setAttribute("aria-label", label);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};
// Without the user and the password that may stand in the page's own address, with which nothing is fetched.
const at = (path) => new URL(path, location.origin + location.pathname).href;
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const count = (value) => (value < 10000 ? number.format(value) : short.format(value));
const perSecond = (value) => (value > 0 && value < 9.95 ? value.toFixed(1) : count(value));
const millis = (value) => (value === null ? "–" : value < 1000 ? `${count(value)} ms` : `${(value / 1000).toFixed(1)} s`);
const bytes = (value) => (value < 1 << 30 ? `${number.format(value / (1 << 20))} MB` : `${(value / (1 << 30)).toFixed(1)} GB`);
const span = (seconds) => {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
};

// What a state is called, and what it means to users.
const STATES = {
  up: ["up", "takes everybody"],
  soft: ["soft drain", "takes no new user, keeps its own"],
  hard: ["hard drain", "takes nobody: it is about to restart"],
  restarting: ["restarting", "takes nobody"],
  warming: ["warming up", "takes nobody until it is ready"],
  maint: ["maintenance", "takes nobody and is not checked"],
  down: ["down", "its checks fail: takes nobody"],
  starting: ["first check", "nobody is sent before its first check"],
  unchecked: ["no check", "taken for up"],
};
const PHASES = ["soft", "hard", "restarting", "warming", "up"];

// --- plots -------------------------------------------------------------------------------------------------------

const WIDTH = 118, HEIGHT = 30;
class Plot {
  constructor(values, span, what, least) {
    Object.assign(this, { values, span, what, least });
    const ns = "http://www.w3.org/2000/svg";
    this.svg = document.createElementNS(ns, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    [this.area, this.stroke] = ["area", "stroke"].map((name) => {
      const path = document.createElementNS(ns, "path");
      path.setAttribute("class", name);
      this.svg.append(path);
      return path;
    });
    this.draw();
  }
  add(value) {
    this.values.push(value);
    if (this.values.length > this.span) this.values.shift();
    this.draw();
  }
  draw() {
    const known = this.values.filter((value) => value !== null);
    const highest = Math.max(this.least, ...known);
    const step = WIDTH / (this.span - 1);
    const from = this.span - this.values.length;
    let line = "", area = "", open = null, last = 0;
    const close = () => { if (open !== null) area += `L${last} ${HEIGHT}L${open} ${HEIGHT}Z`; open = null; };
    this.values.forEach((value, index) => {
      if (value === null) return close();
      const x = ((from + index) * step).toFixed(1), y = (HEIGHT - 1.5 - (value / highest) * (HEIGHT - 4)).toFixed(1);
      const to = `${open === null ? "M" : "L"}${x} ${y}`;
      [line, area, last] = [line + to, area + to, x];
      if (open === null) open = x;
    });
    close();
    this.stroke.setAttribute("d", line);
    this.area.setAttribute("d", area);
    const now = this.values.at(-1);
    const said = now === null || now === undefined ? "none" : perSecond(now);
    this.svg.setAttribute("aria-label", `${this.what}: now ${said}, at most ${perSecond(Math.max(0, ...known))}`);
  }
}

// --- what there is -----------------------------------------------------------------------------------------------

let layout = null, rows = new Map(), frontends = [], backends = [], paused = false;

function lay(next) {
  layout = next;
  $("node").textContent = next.node;
  document.title = `${next.node} · drain-proxy`;
  rows = new Map();
  $("frontends").replaceChildren(...(frontends = next.frontends.map(frontend)).map((each) => each.element));
  $("backends").replaceChildren(...(backends = next.backends.map(backend)).map((each) => each.element));
  if (!backends.length) $("backends").append(make("p", { className: "empty", textContent: "There is no backend." }));
  sift();
}

function frontend({ name, binds, maxconn, rate }) {
  const now = make("span", { className: "now" }), open = make("span", { className: "quiet" });
  const plot = new Plot(rate, layout.span, `requests per second to ${name}`, 1);
  const element = make("li", {}, make("h3", { textContent: name }), now,
    make("span", { className: "quiet", textContent: binds }), open, plot.svg);
  return { element, now, open, plot, maxconn };
}

function backend({ name, algorithm, servers }, index) {
  const facts = make("p", { className: "quiet" }), share = make("span", { className: "share" });
  share.setAttribute("aria-hidden", "true");
  const heading = make("h2", { id: `backend-${index}`, textContent: name });
  const titles = ["Server", "Users", "In flight", "Idle", "Waiting", "Weight", "Requests per second", "Response time", "Failed", "Last check"];
  if (layout.operate) titles.push("Change");
  const head = make("tr", {}, ...titles.map((title, at) =>
    make("th", { scope: "col", className: at === 0 || title === "Last check" ? "left" : "", textContent: title })));
  const table = make("table", {}, make("caption", { className: "sr", textContent: `Servers of ${name}` }), make("thead", {}, head));
  const own = servers.map((each, at) => row(name, each, `${index}/${at}`, titles));
  table.append(...own.map((each) => each.body));
  const element = make("section", { className: "backend" },
    make("div", { className: "top" }, heading, make("span", { className: "quiet", textContent: algorithm }), facts, share),
    make("div", { className: "scroll" }, table));
  element.setAttribute("aria-labelledby", heading.id);
  return { element, facts, share, rows: own, name };
}

function row(backend, server, key, titles) {
  const cells = {};
  const cell = (what, title, ...children) => {
    cells[what] = make("td", {}, ...children);
    cells[what].dataset.label = title;
    return cells[what];
  };
  const rate = new Plot(server.rate, layout.span, `requests per second to ${server.name}`, 1);
  const time = new Plot(server.time, layout.span, `response time of ${server.name} in milliseconds`, 10);
  const pill = make("span", { className: "pill" });
  const about = [server.address, server.backup ? "backup" : null, server.cookie ? `cookie ${server.cookie}` : null];
  const name = make("th", { scope: "row" }, make("div", { className: "name" }, pill,
    make("span", {}, make("b", { textContent: server.name }), make("br"),
      make("span", { className: "quiet", textContent: about.filter(Boolean).join(" · ") }))));
  const inFlight = make("span"), meter = make("meter", { min: 0 });
  meter.setAttribute("aria-hidden", "true");
  const [perS, ms] = [make("span"), make("span")];
  const line = make("tr", {}, name, cell("users", titles[1]),
    cell("flight", titles[2], make("span", { className: "flight" }, inFlight, meter)),
    cell("idle", titles[3]), cell("queued", titles[4]), cell("weight", titles[5]),
    cell("rate", titles[6], make("span", { className: "plot" }, rate.svg, perS)),
    cell("time", titles[7], make("span", { className: "plot late" }, time.svg, ms)),
    cell("failed", titles[8]), cell("check", titles[9]));
  cells.check.classList.add("left");
  const buttons = {};
  if (layout.operate) {
    for (const to of ["soft", "hard", "up"]) {
      buttons[to] = make("button", {
        type: "button", className: `to-${to}`, textContent: to[0].toUpperCase() + to.slice(1),
        label: `Set ${server.name} of ${backend} to ${to}`, onclick: () => ask(backend, server.name, to),
      });
    }
    const acts = cell("acts", titles[10], make("span", { className: "acts" }, ...Object.values(buttons)));
    acts.classList.add("acts-cell");
    line.append(acts);
  }
  const story = make("tr", { className: "story", hidden: true }, make("td", { colSpan: titles.length }));
  const body = make("tbody", {}, line, story);
  body.dataset.server = `${backend}/${server.name}`;
  const made = { backend, name: server.name, body, cells, pill, inFlight, meter, perS, ms, rate, time, story, buttons, seen: null };
  rows.set(key, made);
  return made;
}

// --- what has changed --------------------------------------------------------------------------------------------

function look(next) {
  for (const [at, index, server] of next.servers) show(rows.get(`${at}/${index}`), server);
  for (const each of rows.values()) {
    if (!each.seen) continue;
    if (next.tick) { each.rate.add(each.seen.rate); each.time.add(each.seen.time); }
    tell(each, next.at);
  }
  next.frontends.forEach(([open, rate], index) => {
    const each = frontends[index];
    each.now.textContent = `${perSecond(rate)}/s`;
    each.open.textContent = `${count(open)} of ${count(each.maxconn)} connections`;
    if (next.tick) each.plot.add(rate);
  });
  next.backends.forEach((numbers, index) => sumUp(backends[index], numbers));
  processNumbers(next);
  sift();
}

function show(row, server) {
  if (!row) return;
  const before = row.seen;
  row.seen = server;
  const [word, meaning] = STATES[server.state];
  if (before && before.state !== server.state) {
    $("news").append(make("p", { textContent: `${row.backend} ${row.name}: ${word}, ${meaning}` }));
    while ($("news").children.length > 5) $("news").firstChild.remove();
    row.body.classList.add("fresh");
    setTimeout(() => row.body.classList.remove("fresh"), 1500);
  }
  const { users, flight, idle, queued, weight, check } = row.cells;
  row.body.className = `${server.state}${row.body.classList.contains("fresh") ? " fresh" : ""}`;
  row.body.dataset.state = server.state;
  row.pill.textContent = word;
  row.pill.title = meaning;
  users.textContent = count(server.users);
  row.inFlight.replaceChildren(count(server.flight));
  if (server.max) row.inFlight.append(make("small", { textContent: ` of ${count(server.max)}` }));
  row.meter.hidden = !server.max;
  Object.assign(row.meter, { max: server.max ?? 1, high: (server.max ?? 1) * 0.8, value: server.flight });
  flight.title = server.max ? "requests in flight, of maxconn" : "requests in flight";
  idle.textContent = count(server.idle);
  queued.textContent = count(server.queued);
  weight.textContent = server.throttle === null ? server.weight : `${server.weight} (${server.throttle} %)`;
  weight.title = server.throttle === null ? "" : "it starts slowly";
  row.perS.textContent = perSecond(server.rate);
  row.ms.textContent = millis(server.time);
  row.cells.failed.textContent = count(server.failed);
  row.cells.failed.className = server.failed > (before ? before.failed : server.failed) ? "bad" : "";
  check.textContent = server.check ?? "–";
  const isUp = server.state === "up" || server.state === "unchecked";
  if (layout.operate) {
    row.buttons.soft.disabled = server.asked === "soft";
    row.buttons.hard.disabled = server.asked === "hard";
    row.buttons.up.disabled = isUp || (server.asked === null && server.phase !== null);
  }
}

// The line below a server that isn't up: how far its drain is, why, since when, and who is still there.
function tell(row, now) {
  const { seen, story } = row;
  const since = seen.since ? span(now / 1000 - seen.since) : null;
  const told = [seen.state, seen.phase, seen.reason, seen.asked, seen.ack, seen.users, seen.flight, since].join("\n");
  if (row.told === told) return;
  row.told = told;
  const parts = [];
  if (seen.phase) {
    const at = PHASES.indexOf(seen.phase);
    parts.push(make("ol", { className: "steps", label: "Phases of the drain" }, ...PHASES.map((phase, index) => {
      const step = make("li", { className: index < at ? "past" : "" }, make("i"), phase);
      if (index === at) step.setAttribute("aria-current", "step");
      return step;
    })));
    if (seen.reason) parts.push(make("q", { textContent: seen.reason }));
    if (since) parts.push(make("span", { textContent: `for ${since}` }));
    parts.push(make("span", { className: "quiet", textContent: "as its agent says" }));
    if (seen.ack !== null) {
      parts.push(make("span", { className: seen.ack ? "yes" : "no", textContent: seen.ack ? "✓ acknowledged by this proxy" : "… not yet acknowledged" }));
    }
  } else if (seen.asked) {
    parts.push(make("b", { textContent: seen.asked === "soft" ? "soft drain by command here" : "taken out by command here" }));
  } else if (seen.state === "down" && since) {
    parts.push(make("span", { textContent: `down for ${since}` }));
  }
  if (parts.length && (seen.users || seen.flight) && seen.state !== "down") {
    parts.push(make("span", { textContent: `${count(seen.users)} ${seen.users === 1 ? "user" : "users"}, ${count(seen.flight)} in flight still here` }));
  }
  story.hidden = !parts.length;
  if (parts.length) story.firstChild.replaceChildren(make("div", {}, ...parts));
}

function sumUp(each, [queued, retries, redispatches, replays, resumes]) {
  const taking = each.rows.filter((row) => row.seen && (row.seen.state === "up" || row.seen.state === "unchecked")).length;
  const said = [`${taking} of ${each.rows.length} take new users`];
  if (queued) said.push(`${count(queued)} waiting`);
  const saved = [[retries, "tried again"], [redispatches, "elsewhere"], [replays, "sent again"], [resumes, "continued"]];
  for (const [value, word] of saved) if (value) said.push(`${count(value)} ${word}`);
  each.facts.textContent = said.join(" · ");
  each.share.replaceChildren(...each.rows.slice(0, 60).map((row) => {
    const mark = make("i", { className: row.seen?.state ?? "starting" });
    mark.style.background = "var(--c)";
    return mark;
  }));
}

function processNumbers({ uptime_s, connections, descriptors, memory, standing, rate }) {
  $("about").textContent = `${layout.version} · process ${layout.pid} · up for ${span(uptime_s)}`;
  const figure = (term, value, most, shown = count) => {
    const part = make("div", { className: most && value > 0.8 * most ? "near" : "" }, make("dt", { textContent: term }));
    const said = make("dd", { textContent: shown(value) });
    if (most) said.append(make("small", { textContent: ` of ${shown(most)}` }));
    part.append(said);
    return part;
  };
  const sum = (what) => [...rows.values()].reduce((total, row) => total + (row.seen?.[what] ?? 0), 0);
  $("process").replaceChildren(
    figure("Requests per second", rate, null, perSecond), figure("In flight", sum("flight")), figure("Users", sum("users")),
    figure("Connections", connections, layout.most_connections), figure("Descriptors", descriptors, layout.most_descriptors),
    figure("Memory", memory, null, bytes));
  $("leaving").hidden = standing === "up";
  $("leaving").textContent = standing === "soft"
    ? "This proxy is about to stop: it answers 404 to the balancers above it, and still takes connections."
    : "This proxy stops: it answers 500 to the balancers above it, and finishes what it has.";
}

// --- what people do ----------------------------------------------------------------------------------------------

function sift() {
  const wanted = $("find").value.trim().toLowerCase(), troubled = $("troubled").checked;
  let shown = 0;
  for (const each of backends) {
    let any = false;
    for (const row of each.rows) {
      const isUp = !row.seen || row.seen.state === "up" || row.seen.state === "unchecked";
      const hidden = (troubled && isUp) || !`${each.name}/${row.name}`.toLowerCase().includes(wanted);
      row.body.hidden = hidden;
      if (!hidden) [any, shown] = [true, shown + 1];
    }
    each.element.hidden = !any;
  }
  $("sum").textContent = `${shown} of ${rows.size} servers`;
}

const ASKED = {
  soft: ["Soft drain", "New users go to other servers. Users whose cookie names this server still come to it, until you bring it up or take it out."],
  hard: ["Take out", "Nobody is sent to this server any more: its users are moved to others at once, and it is not checked. What is in flight is finished."],
  up: ["Bring up", "What was asked for this server here is taken back: it is what its checks say."],
};

function ask(backend, server, to) {
  const [word, meaning] = ASKED[to], row = [...rows.values()].find((each) => each.backend === backend && each.name === server);
  const others = backends.find((each) => each.name === backend).rows.filter((each) => each !== row && each.seen && (each.seen.state === "up" || each.seen.state === "unchecked")).length;
  $("ask-title").textContent = `${word}: ${server} of ${backend}?`;
  $("ask-text").textContent = meaning;
  $("ask-facts").textContent = `${count(row.seen.users)} users, ${count(row.seen.flight)} in flight; ${others === 0 ? "no other server takes" : others === 1 ? "1 other server takes" : `${others} other servers take`} new users.`;
  $("ask-facts").classList.toggle("bad", others === 0 && to !== "up");
  $("ask-error").hidden = true;
  const yes = $("ask-yes");
  [yes.textContent, yes.className, yes.disabled] = [word, to, false];
  yes.onclick = async () => {
    yes.disabled = true;
    try {
      const answer = await fetch(at("act"), {
        method: "POST", headers: { "content-type": "application/json", "x-drain-proxy": "act" },
        body: JSON.stringify({ backend, server, to }),
      });
      if (!answer.ok) throw new Error(await answer.text());
      $("ask").close();
    } catch (error) {
      [$("ask-error").textContent, $("ask-error").hidden, yes.disabled] = [error.message, false, false];
    }
  };
  $("ask").showModal();
}

$("find").oninput = $("troubled").onchange = sift;
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /INPUT/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  $("find").focus();
});

const themes = ["auto", "light", "dark"];
const store = { read() { try { return localStorage.theme; } catch { return null; } }, write(value) { try { localStorage.theme = value; } catch { /* not kept, then */ } } };
function theme(value) {
  if (value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  $("theme").textContent = `Theme: ${value}`;
  store.write(value);
}
theme(themes.includes(store.read()) ? store.read() : "auto");
$("theme").onclick = () => theme(themes[(themes.indexOf($("theme").textContent.slice(7)) + 1) % 3]);

// --- the stream --------------------------------------------------------------------------------------------------

let source = null, heard = 0;
function live(is, word) {
  $("live").className = `live ${is}`;
  if ($("live").textContent !== word) $("live").textContent = word;
}
function connect() {
  source = new EventSource(at("events"));
  source.addEventListener("layout", (event) => lay(JSON.parse(event.data)));
  source.addEventListener("look", (event) => {
    heard = performance.now();
    live("on", "live");
    if (layout) look(JSON.parse(event.data));
  });
  source.onerror = () => {
    live("off", "not connected");
    // A refusal ends it for good; a broken connection is made again by the browser itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (!paused) connect(); }, 3000);
  };
}
setInterval(() => { if (!paused && heard && performance.now() - heard > 5000) live("off", "nothing heard"); }, 1000);
$("pause").onclick = () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Go on" : "Pause";
  source.close();
  if (paused) live("", "paused");
  else connect();
};
connect();
