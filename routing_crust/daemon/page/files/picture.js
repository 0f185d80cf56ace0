// The picture of the neighbourhood: this node in the middle, its peers on the ring of names.
// Whatever peers have chosen gets into it as text nodes only.

const NS = "http://www.w3.org/2000/svg";
const RADIUS = 138;
const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const MOST_LABELS = 16;

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Where a name is on the ring, from 0 to 1. */
export function position(name) {
  let sum = 0;
  for (let at = 0; at < 8; at += 1) sum += Math.max(0, LETTERS.indexOf(name[at])) / 32 ** (at + 1);
  return sum;
}

/** Move angles this far apart, so that labels have room, with as little movement as there must be. */
export function spread(angles, wanted) {
  const least = Math.min(wanted, (2 * Math.PI * 0.96) / Math.max(1, angles.length));
  const order = angles.map((angle, index) => ({ angle, index })).sort((one, other) => one.angle - other.angle);
  for (let round = 0; round < 120; round += 1) {
    for (let at = 0; at < order.length && order.length > 1; at += 1) {
      const last = at === order.length - 1;
      const one = order[at];
      const next = order[last ? 0 : at + 1];
      const gap = next.angle + (last ? 2 * Math.PI : 0) - one.angle;
      if (gap < least) {
        one.angle -= (least - gap) / 2;
        next.angle += (least - gap) / 2;
      }
    }
  }
  const found = [];
  for (const each of order) found[each.index] = each.angle;
  return found;
}

function at(angle, radius) {
  return [radius * Math.sin(angle), -radius * Math.cos(angle)];
}

function short(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/**
 * Draw it.
 * @param peers: objects with name, label, type, via, close, client and roundTrip (text).
 * @param choose: called with the name of a peer that was clicked.
 * @param narrow: whether there is little room, so that the labels are larger, as page.css has it, and shorter.
 */
export function draw(picture, own, peers, choose, narrow) {
  const parts = [svg("circle", { class: "ring", r: RADIUS })];
  const home = position(own);
  const true_angles = peers.map((peer) => 2 * Math.PI * ((((position(peer.name) - home) % 1) + 1) % 1));
  const angles = spread(true_angles, narrow ? 0.54 : 0.42);
  const places = new Map(peers.map((peer, index) => [peer.name, at(angles[index], RADIUS + 24)]));
  const links = [];
  const spots = [];
  const crowded = peers.length > MOST_LABELS;
  peers.forEach((peer, index) => {
    const [x, y] = places.get(peer.name);
    parts.push(line("tick", at(true_angles[index], RADIUS - 4), at(true_angles[index], RADIUS + 4)));
    parts.push(line("lead", at(true_angles[index], RADIUS + 4), [x, y]));
    const relay = peer.via && places.get(peer.via);
    const path = relay ? `M0 0 L${relay[0]} ${relay[1]} Q${(relay[0] + x) * 0.3} ${(relay[1] + y) * 0.3} ${x} ${y}` : `M0 0 L${x} ${y}`;
    links.push(svg("path", { class: `link ${peer.type}`, d: path }));
    const spot = svg("g", { class: "spot" });
    spot.append(svg("title", {}, `${peer.label}, ${peer.type}${peer.roundTrip ? `, ${peer.roundTrip}` : ""}`));
    spot.append(svg("circle", { class: peer.close ? "node close" : "node", cx: x, cy: y, r: peer.client ? 4.5 : 7 }));
    if (!crowded || peer.close) {
      const side = Math.abs(Math.sin(angles[index])) < 0.25 ? "middle" : x > 0 ? "start" : "end";
      const dx = side === "middle" ? 0 : x > 0 ? 12 : -12;
      const up = side === "middle" && y < 0;
      const high = narrow ? 20 : 15;
      const first = side === "middle" ? (up ? y - 12 - high : y + 22) : y + (peer.roundTrip ? -2 : 5);
      spot.append(svg("text", { class: "label", x: x + dx, y: first, "text-anchor": side }, short(peer.label, narrow ? 9 : 13)));
      if (peer.roundTrip) {
        spot.append(svg("text", { class: "label-2", x: x + dx, y: first + high, "text-anchor": side }, peer.roundTrip));
      }
    }
    spot.addEventListener("click", () => choose(peer.name));
    spots.push(spot);
  });
  parts.push(line("tick", [0, -RADIUS - 7], [0, -RADIUS + 7]));
  const middle = svg("circle", { class: "node self", r: 11 });
  const text = picture.querySelector("desc");
  picture.replaceChildren(text, ...parts, ...links, ...spots, middle);
}

function line(kind, [x1, y1], [x2, y2]) {
  return svg("line", { class: kind, x1, y1, x2, y2 });
}
