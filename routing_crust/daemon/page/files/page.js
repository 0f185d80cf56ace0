// Shows the snapshots that the node sends. Whatever peers have chosen gets into the page by textContent, or
// through text nodes, and never as markup.

import { draw, svg } from "./picture.js";

const get = (id) => document.getElementById(id);
const TYPES = ["direct", "mapped", "punched", "relayed"];
const TYPE_TEXTS = {
  direct: "direct",
  mapped: "through a mapped port",
  punched: "through punched NATs",
  relayed: "relayed by a peer",
};
const EXPIRES_SOON_DAYS = 14;
const NARROW = matchMedia("(max-width: 560px)");
let latest = null;
let nicknames = new Map();

// Making elements.

function element(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Replace the children only if they say something else, so that focus and selection stay. */
function setChildren(target, ...children) {
  const box = document.createElement("div");
  box.append(...children);
  if (target.dataset.shows === box.textContent) return;
  target.dataset.shows = box.textContent;
  target.replaceChildren(...box.childNodes);
}

/** Rows by key: those that stay are kept, so that neither focus nor the scrolled place is lost. */
function setRows(body, items, keyOf, cellsOf) {
  const before = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const heads = body.closest("table").tHead.rows[0].cells;
  const rows = items.map((item) => {
    const key = keyOf(item);
    const row = before.get(key) ?? element("tr", { "data-key": key, role: "row" });
    before.delete(key);
    cellsOf(item).forEach(([kind, ...content], index) => {
      const cell = row.children[index] ?? row.appendChild(element("td", { class: kind, role: "cell", "data-head": heads[index].textContent }));
      setChildren(cell, ...content);
    });
    return row;
  });
  for (const row of before.values()) row.remove();
  rows.forEach((row, index) => {
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
}

function setPairs(list, pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== "");
  setChildren(
    list,
    ...shown.map(([title, value, more, bad]) =>
      element(
        "div",
        { class: bad ? "bad" : "" },
        element("dt", {}, title),
        element("dd", {}, value, ...(more ? [element("small", {}, more)] : [])),
      ),
    ),
  );
}

// Words.

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${whole} s`;
}

export function bytes(count) {
  let size = count;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024 || unit === "GiB") return unit === "B" ? `${Math.round(size)} B` : `${size.toFixed(1)} ${unit}`;
    size /= 1024;
  }
  return "";
}

export function milliseconds(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const value = seconds * 1000;
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;
const typeOf = (link) => (link.rung === "tunnel" ? "relayed" : link.rung);
const shortName = (name) => (name.length > 20 ? name.slice(0, 8) : name);

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Pieces.

function swatch(type) {
  return svg("svg", { class: "swatch", viewBox: "0 0 30 10", "aria-hidden": "true" },
    svg("path", { class: `link ${type}`, d: "M2 5 L28 5" }));
}

function connection(type, more = "") {
  return element("span", { class: "kind" }, swatch(type), `${type}${more}`);
}

function peerButton(name, given) {
  const nickname = given || nicknames.get(name);
  const title = nickname || shortName(name);
  const button = element("button", { type: "button", class: "peer", onclick: () => explain(name, nickname) }, title);
  button.setAttribute("aria-haspopup", "dialog");
  return nickname && nickname !== name ? [button, element("small", { class: "mono" }, shortName(name))] : [button];
}

function who(name, nickname) {
  return nickname || nicknames.get(name) || shortName(name);
}

// Showing a snapshot.

function show(snapshot) {
  latest = snapshot;
  const status = snapshot.status;
  const links = status.links ?? [];
  nicknames = new Map([...(snapshot.members ?? []).map((each) => [each.name, each.nickname]), ...links.map((link) => [link.peer, link.nickname])]);
  const own = status.membership?.nickname || shortName(status.name ?? "");
  setText(get("node"), own || "routing-crust");
  const network = status.network === "default" ? "the open network" : `network ${status.network}`;
  setText(get("network"), `${status.role === "client" ? "Client" : status.role === "first" ? "First node" : "Node"} of ${network}`);
  const title = `${own}: ${status.state}, ${plural(links.length, "peer", "peers")}`;
  if (document.title !== title) document.title = title;
  showFacts(snapshot, links);
  showMap(status, links);
  showPeers(status, links);
  showStates(snapshot.states);
  showStreams(snapshot);
  showMembers(snapshot.members);
  showEvents(snapshot);
  showDetails(status);
}

function showFacts({ status, stream_rates: rates }, links) {
  const times = links.map((link) => link.round_trip_seconds).filter((each) => typeof each === "number");
  const waitsForFirst = status.state === "disconnected" && status.role === "first";
  const counts = TYPES.map((type) => [type, links.filter((link) => typeOf(link) === type).length]);
  const total = Object.values(rates).reduce((sum, [sent, received]) => [sum[0] + sent, sum[1] + received], [0, 0]);
  setPairs(get("facts"), [
    ["State", capital(status.state ?? "unknown"),
      waitsForFirst ? "waiting for the first peer" : status.group_connected ? "linked with all neighbours" : "some neighbours are missing",
      !waitsForFirst && status.state !== "connected"],
    ["Peers", String(links.length), counts.filter(([, count]) => count).map(([type, count]) => `${count}\u00a0${type}`).join(", ")],
    ["Round trip", times.length ? milliseconds(median(times)) : "–", times.length > 1 ? `median; longest ${milliseconds(Math.max(...times))}` : ""],
    ["From outside", { yes: "Dialable", no: "Not dialable" }[status.dialable] ?? "Not known", `NAT: ${status.nat ?? "unknown"}`],
    ["Streams", status.streams ? `${bytes(total[0])}/s out` : null, `${bytes(total[1])}/s in, ${plural(status.streams?.length ?? 0, "connection", "connections")}`],
  ]);
}

function showMap(status, links) {
  const close = new Set(status.close_group ?? []);
  const none = links.length === 0;
  get("no-peers").hidden = !none;
  get("map-figure").hidden = none;
  if (none) {
    setChildren(get("no-peers"), ...(status.membership
      ? [element("p", {}, "No peers yet. Invite a second machine with ", element("code", {}, "routing-crust invite laptop"),
          ", and type there what it prints.")]
      : [element("p", {}, "No peers yet. On a second machine, run ",
          element("code", {}, `twistd -n routing-node --contact ${status.contact ?? "NAME@ADDRESS:PORT"}`)),
        element("p", {}, "If there is one already, ", element("code", {}, "routing-crust doctor"), " looks for what is wrong.")]));
    return;
  }
  const peers = links.map((link) => ({
    name: link.peer,
    label: who(link.peer, link.nickname),
    type: typeOf(link),
    via: link.via,
    close: close.has(link.peer),
    client: link.client,
    roundTrip: milliseconds(link.round_trip_seconds),
  }));
  const narrow = NARROW.matches;
  const shows = JSON.stringify([peers, narrow]);
  const picture = get("map");
  if (picture.dataset.shows === shows) return;
  picture.dataset.shows = shows;
  draw(picture, status.name, peers, (name) => explain(name, peers.find((peer) => peer.name === name)?.label), narrow);
  const present = TYPES.filter((type) => peers.some((peer) => peer.type === type));
  setChildren(get("legend"), ...present.map((type) => element("li", { class: "kind" }, swatch(type), TYPE_TEXTS[type])));
  setText(get("map-text"), `This node, and ${plural(peers.length, "peer", "peers")}: ${peers.map((peer) => `${peer.label}, ${peer.type}`).join("; ")}. The table of peers says the same.`);
}

function showPeers(status, links) {
  const close = new Set(status.close_group ?? []);
  get("peers-region").hidden = links.length === 0;
  setText(get("peers-hint"), links.length ? "Choose a peer for the reasons behind its link." : "None yet.");
  const rank = (link) => [close.has(link.peer) ? 0 : 1, who(link.peer, link.nickname).toLowerCase()].join();
  const sorted = [...links].sort((one, other) => (rank(one) < rank(other) ? -1 : 1));
  setRows(get("peers"), sorted, (link) => link.peer, (link) => {
    const relay = link.via ? ` by ${who(link.via)}` : "";
    const notes = [close.has(link.peer) ? "close group" : "", link.client ? "client" : "", link.two_way ? "" : "one-way"].filter(Boolean);
    return [
      ["name", ...peerButton(link.peer, link.nickname)],
      ["", connection(typeOf(link), relay), element("small", {}, link.address)],
      ["number", milliseconds(link.round_trip_seconds) || "–"],
      ["", link.use, element("small", {}, notes.join(", "))],
      ["number", duration(link.seconds), ...(link.queued ? [element("small", {}, `${bytes(link.queued)} queued`)] : [])],
    ];
  });
}

function showStates(states) {
  const hour = 3600;
  const ends = [...states.slice(1).map((each) => each.seconds_ago), 0];
  const pieces = states
    .map((each, index) => ({ state: each.state, seconds: Math.min(hour, each.seconds_ago) - ends[index] }))
    .filter((each) => each.seconds > 0);
  const known = pieces.reduce((sum, each) => sum + each.seconds, 0);
  const bar = get("states");
  const shown = [{ state: "before", seconds: hour - known }, ...pieces];
  bar.replaceChildren(...shown.map((each) => {
    const piece = element("div", { class: `state-${each.state}`, title: each.state === "before" ? "before the start" : `${each.state}, ${duration(each.seconds)}` });
    piece.style.width = `${(100 * each.seconds) / hour}%`;
    return piece;
  }));
  const totals = new Map();
  for (const each of pieces) totals.set(each.state, (totals.get(each.state) ?? 0) + each.seconds);
  const words = [...totals].filter(([, seconds]) => seconds >= 1).map(([state, seconds]) => `${state} for ${duration(seconds)}`);
  setText(get("states-text"), `${words.length ? `${capital(words.join(", "))}. ` : ""}${plural(Math.max(0, pieces.length - 1), "change", "changes")} of state.`);
}

function dropped(each) {
  return each.dropped ? `, ${plural(each.dropped, "datagram", "datagrams")} dropped` : "";
}

function showStreams({ status, stream_rates: rates }) {
  get("streams-section").hidden = status.streams === undefined;
  if (status.streams === undefined) return;
  const name = (peer) => who(peer);
  const suspended = Object.entries(status.suspended ?? {});
  const carried = [
    ...(status.local_proxy ? [`Proxy: SOCKS5 and HTTP at ${status.local_proxy}, for *.crust`] : []),
    ...status.exposed.map((each) => `Exposed: ${each.protocol}, which is ${each.target}, to ${each.allowed.map(name).join(", ") || "nobody"}; ${each.open} open${dropped(each)}`),
    ...status.forwarded.map((each) => `Forwarded: ${each.listen} to ${each.protocol} of ${name(each.peer)}; ${each.open} open${dropped(each)}`),
  ];
  setChildren(get("carried"),
    ...carried.map((line) => element("li", {}, line)),
    ...suspended.map(([peer, each]) => element("li", {}, element("span", { class: "tag warn" }, "suspended"),
      ` ${plural(each.streams, "stream", "streams")} with ${name(peer)} for ${duration(each.seconds)}: ${each.because}. ${capital(each.trying)}; they may wait for ${duration(each.left)} more, ${bytes(each.kept)} are kept.`)));
  const nothing = !carried.length && !status.streams.length && !suspended.length;
  get("no-streams").hidden = !nothing;
  if (nothing) {
    setChildren(get("no-streams"), element("p", {}, "Nothing is exposed or forwarded. Let peers reach a program here with ",
      element("code", {}, "routing-crust expose ssh=tcp:localhost:22 --allow NAME"), ", or reach one of theirs with ",
      element("code", {}, "routing-crust forward tcp:2222=NAME/ssh"), "."));
  }
  get("streams-region").hidden = !status.streams.length;
  setRows(get("streams"), status.streams, (each) => String(each.number), (each) => {
    const [sent, received] = rates[each.number] ?? [0, 0];
    return [
      ["name", ...peerButton(each.peer)],
      ["", each.protocol, element("small", {}, each.kind)],
      ["", each.suspended ? element("span", { class: "tag warn" }, "waits for a link") : "open"],
      ["number", bytes(each.sent), element("small", {}, `${bytes(sent)}/s`)],
      ["number", bytes(each.received), element("small", {}, `${bytes(received)}/s`)],
      ["number", duration(each.seconds)],
    ];
  });
}

function showMembers(members) {
  get("members-section").hidden = members === null;
  if (members === null) return;
  const now = Date.now() / 1000;
  setRows(get("members"), members, (each) => each.name, (each) => {
    const days = each.expires === null ? null : Math.floor((each.expires - now) / 86400);
    const soon = days !== null && !each.expired && days < EXPIRES_SOON_DAYS;
    const ends = each.expires === null ? "–" : each.expired ? "expired" : `until ${each.until}`;
    const flag = each.expired ? "expired" : soon ? `ends in ${plural(days, "day", "days")}` : "";
    const link = each.connection === null ? "" : each.connection === "tunnel" ? "relayed" : each.connection;
    return [
      ["name", ...(each.this ? [element("strong", {}, who(each.name, each.nickname)), element("small", {}, "this node")] : peerButton(each.name, each.nickname))],
      ["", each.roles.join(", ") || "–"],
      ["", each.tags.join(", ") || "–"],
      ["", flag ? element("span", { class: "tag warn" }, flag) : ends, ...(flag && !each.expired ? [element("small", {}, ends)] : [])],
      ["words", each.banned ? element("span", { class: "tag warn" }, "banned") : link ? connection(link) : each.this ? "–" : "no link",
        ...(each.banned ? [element("small", {}, each.banned)] : [])],
    ];
  });
}

const REFUSALS = new Set(["refused", "failed", "unreached"]);

function showEvents({ events, status }) {
  const plain = events.filter((each) => !REFUSALS.has(each.kind));
  get("no-events").hidden = plain.length > 0;
  get("events-region").hidden = plain.length === 0;
  setText(get("no-events"), "Nothing has happened yet.");
  setRows(get("events"), plain, (each) => String(each.number), (each) => [
    ["when", `${duration(each.seconds_ago)} ago`],
    ["", capital(each.kind)],
    ["words", each.peer ? `${who(each.peer, each.nickname)}: ${each.text}` : each.text],
  ]);
  const failures = [
    ...events.filter((each) => REFUSALS.has(each.kind)).map((each) => ({ ...each, times: 1, key: String(each.number) })),
    ...(status.failures ?? []).map((each) => {
      const text = `${each.way}${each.where ? ` ${each.where}` : ""}: ${each.outcome}`;
      return { ...each, text, key: `${each.peer} ${text}` };
    }),
  ].sort((one, other) => one.seconds_ago - other.seconds_ago);
  get("no-failures").hidden = failures.length > 0;
  get("failures-region").hidden = failures.length === 0;
  setText(get("no-failures"), "None within the last hour.");
  setRows(get("failures"), failures, (each) => each.key, (each) => [
    ["when", `${duration(each.seconds_ago)} ago`],
    ["name", ...peerButton(each.peer, each.nickname)],
    ["words", each.text, ...(each.times > 1 ? [element("small", {}, `${each.times} times`)] : [])],
  ]);
}

function showDetails(status) {
  const outer = (status.external ?? []).filter((each) => each.source !== "private");
  const code = (text) => (text ? element("code", {}, text) : "");
  const pairs = [
    ["Name", code(status.name)],
    ["Contact", code(status.contact)],
    ["Listening", (status.endpoints ?? []).join(", ") || "no"],
    ["External", outer.map((each) => `${each.endpoint} (${each.source})`).join(", ") || "none known"],
    ["Mapped ports", (status.mapped_ports ?? []).join(", ")],
    ["Proxy", status.proxy ?? ""],
    ["Routing table", plural(status.table?.length ?? 0, "node", "nodes")],
    ["Relayed for others", status.relay ? `${plural(status.relay.waiting, "message", "messages")} waiting, ${status.relay.dropped} dropped since the start` : ""],
    ["Certificate", status.membership ? `until ${status.membership.until}${status.membership.problem ? `; ${status.membership.problem}` : ""}` : ""],
    ["Running", status.uptime === undefined ? "" : `for ${duration(status.uptime)}, process ${status.process}`],
    ["Version", status.version ?? ""],
    ["State directory", code(status.state_dir)],
  ].filter(([, value]) => value !== "");
  setChildren(get("details"), ...pairs.flatMap(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]));
  setText(get("foot"), "Figures are of this node alone. Everything here comes from it, once a second, and nothing can be changed here.");
}

// Why there is a link with a peer, or none.

async function explain(name, nickname) {
  const dialog = get("peer-dialog");
  setText(get("peer-title"), who(name, nickname));
  get("peer-body").replaceChildren(element("p", { class: "quiet" }, "Asking the node …"));
  if (!dialog.open) dialog.showModal();
  get("peer-title").focus();
  try {
    const answer = await fetch(`explain.json?name=${encodeURIComponent(name)}`);
    if (!answer.ok) throw new Error(await answer.text());
    get("peer-body").replaceChildren(...explained(await answer.json()));
  } catch (error) {
    get("peer-body").replaceChildren(element("p", { class: "notice", role: "alert" }, `The node does not say: ${error.message}`));
  }
}

function explained(found) {
  const parts = [element("p", { class: "quiet mono" }, found.name), element("p", {}, `${capital(found.summary)}.`)];
  const list = (title, items) => {
    if (items.length) parts.push(element("h3", {}, title), element("ul", {}, ...items.map((each) => element("li", {}, each))));
  };
  list("What happens next", found.next);
  list("Where it may be found", found.candidates.map((each) =>
    `${each.endpoint}, from ${each.sources.join(", ")}${each.outcome ? `; ${each.outcome}` : ""}${each.obstacle ? `; ${each.obstacle}` : ""}`));
  list("What was tried, or happened, within the last hour", [...found.attempts].reverse().map((each) =>
    `${duration(each.seconds_ago)} ago, ${each.way}${each.where ? ` ${each.where}` : ""}: ${each.outcome}${each.times > 1 ? ` (${each.times} times)` : ""}`));
  return parts;
}

get("peer-close").addEventListener("click", () => get("peer-dialog").close());
get("peer-dialog").addEventListener("click", (event) => {
  if (event.target === get("peer-dialog")) get("peer-dialog").close();
});

// The connection to the node.

let source = null;

function say(kind, text) {
  const live = get("live");
  if (live.textContent === text) return;
  live.className = `live ${kind}`;
  live.textContent = text;
}

function look() {
  if (source !== null || document.hidden) return;
  source = new EventSource("events");
  source.onmessage = (message) => {
    say("on", "Live");
    try {
      show(JSON.parse(message.data));
      get("problem").hidden = true;
    } catch (error) {
      get("problem").hidden = false;
      setText(get("problem"), `This page cannot show what the node says: ${error.message}`);
    }
  };
  source.onerror = () => {
    say("off", latest ? "No answer from the node; what is shown is old. Trying again …" : "No answer from the node. Trying again …");
    if (source !== null && source.readyState === EventSource.CLOSED) {
      lookAway();
      setTimeout(look, 5000);
    }
  };
}

function lookAway() {
  if (source !== null) source.close();
  source = null;
}

// nobody looks at a page in the background, so nothing is sent to it
document.addEventListener("visibilitychange", () => (document.hidden ? lookAway() : look()));
look();
