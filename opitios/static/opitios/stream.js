// A client of the stream (docs/streams.md) that shows what it hears. Text enters the page as text nodes only.
// The token is asked for with a POST, sent in the first message, and kept nowhere: no address, no storage.
"use strict";

const page = document.getElementById("stream");
const form = at("stream-asked");
const field = (name) => form.elements[name];

// Order updates that the page keeps; what the stream says of itself; delays that the figures are made of.
const MOST_UPDATES = 200, MOST_TALK = 60, MOST_DELAYS = 500;
// After a loss: soon, then ever later. Milliseconds.
const WAITS = [200, 500, 1000, 2000, 5000];
const OPTION = /^[A-Z]{1,6}[0-9]?[0-9]{6}[CP][0-9]{8}$/;
const CLOSES = {
    1006: "the line broke", 1011: "the gateway failed", 1012: "the gateway restarts", 4000: "you broke it",
    4008: "this page was too slow", 4401: "the token is not valid any more", 4408: "nobody signed in",
    4429: "too many messages",
};
const TONES = {
    filled: "good", partially_filled: "busy", queued: "busy", submitting: "busy", pending_new: "busy",
    unknown: "warn", lapsed: "warn", denied: "bad", rejected: "bad", canceled: "idle", expired: "idle",
    replaced: "idle", done_for_day: "idle", pending_cancel: "busy", pending_replace: "busy",
};

const STATES = { live: "good", behind: "busy", stale: "warn", down: "bad" };

let wanted = null;      // what was asked for, null while nobody watches
let socket = null;
let signedIn = false;
let tries = 0, timer = 0, listeningSince = Infinity;
let seen = new Map();   // account: the last number shown
let quotes = new Map(); // symbol: its row
let feeds = new Map();  // channel: its last status
let paused = false, held = [];
let delays = [], arrivals = [];
let told = { updates: 0, ticks: 0, dropped: 0, gaps: 0, again: 0 };
let chosen = null, dirty = false;

function at(id) { return document.getElementById(id); }
function set(node, text) { if (node.textContent !== text) node.textContent = text; }
function count(number) { return number.toLocaleString("en-US"); }
function words(text) { return [...new Set(text.split(/[,\s]+/).filter(Boolean))]; }
function node(tag, className, ...inside) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...inside.map((one) => one ?? "–"));
    return made;
}
function price(value) {
    return typeof value === "number" ? value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 4 }) : value;
}
function dot(text, tone) { return node("span", `op-dot op-${tone}`, text); }

// Instants, in milliseconds with a fraction: a Date knows no microseconds.

function now() { return performance.timeOrigin + performance.now(); }
function instant(text) {
    const parts = /^(.{19})(?:\.(\d+))?Z$/.exec(text || "");
    return parts ? Date.parse(`${parts[1]}Z`) + Number(`0.${parts[2] || 0}`) * 1000 : NaN;
}
function clockTime(ms) { return new Date(ms).toISOString().slice(11, 23); }
function ms(value) {
    if (!Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    return size < 100 ? `${value.toFixed(1)} ms` : size < 10000 ? `${count(Math.round(value))} ms` : `${count(Math.round(value / 1000))} s`;
}

// What is asked for

function asked() {
    const symbols = words(field("symbols").value.toUpperCase());
    const options = symbols.filter((one) => OPTION.test(one));
    const stocks = symbols.filter((one) => !OPTION.test(one));
    const trades = field("trades").checked;
    return {
        orders: words(field("orders").value), quotes: stocks, option_quotes: options,
        trades: trades ? stocks : [], option_trades: trades ? options : [],
    };
}

function startingPoints(orders) {
    const found = {};
    for (const pair of words(field("after").value)) {
        const parts = /^([^=]+)=(\d{1,15})$/.exec(pair);
        if (!parts) throw new Error("“Take up after” is written account_001=812, more of them with commas.");
        if (!orders.includes("*") && !orders.includes(parts[1]))
            throw new Error(`“Take up after” names ${parts[1]}, and “Orders of” does not.`);
        found[parts[1]] = Number(parts[2]);
    }
    return found;
}

function subscription() {
    const message = { action: "subscribe" };
    for (const [name, list] of Object.entries(wanted.lists)) if (list.length) message[name] = list;
    const after = {};
    for (const [account, seq] of seen)
        if (wanted.lists.orders.includes("*") || wanted.lists.orders.includes(account)) after[account] = seq;
    if (Object.keys(after).length) message.after = after;
    return message;
}

async function token() {
    const own = field("token").value.trim();
    if (own) return { token: own, subject: "your own token" };
    const body = new URLSearchParams({ accounts: wanted.lists.orders.join(",") });
    const answer = await fetch(page.dataset.token, {
        method: "POST", body, redirect: "manual", cache: "no-store",
        headers: { "X-CSRFToken": field("csrfmiddlewaretoken").value },
    });
    if (answer.ok) return answer.json();
    if (answer.status === 422) throw new Refusal((await answer.json()).message);
    if (answer.status >= 500) throw new Error(`the admin answered ${answer.status}`);
    throw new Refusal("You are signed out, or may not see this any more: load the page again.");
}
class Refusal extends Error {}

// The socket

async function watch() {
    trouble();
    let lists, after;
    try {
        lists = asked();
        after = startingPoints(lists.orders);
    } catch (error) { return trouble("That cannot be read.", error.message); }
    if (!Object.values(lists).some((list) => list.length)) return trouble("Nothing to watch.", "Name accounts, or symbols.");
    stop("starting anew");
    wanted = { lists };
    seen = new Map(Object.entries(after));
    forgetOthers(lists);
    tries = 0;
    drawButtons();
    await open();
}

async function open() {
    const mine = wanted;
    state("connecting", "busy");
    let pass;
    try { pass = await token(); }
    catch (error) {
        if (wanted !== mine) return;
        if (error instanceof Refusal) { stop(); return trouble("No token was made.", error.message); }
        return comeBack("the admin does not answer");
    }
    if (wanted !== mine) return;
    const url = new URL(page.dataset.stream, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const made = socket = new WebSocket(url);
    signedIn = false;
    listeningSince = Infinity;
    made.onopen = () => made.send(JSON.stringify({ action: "auth", token: pass.token }));
    made.onmessage = (event) => { if (socket === made) hear(JSON.parse(event.data)); };
    made.onclose = (event) => { if (socket === made) lost(event); };
    set(at("stream-where"), `${url.href} · ${pass.subject}`);
}

function lost(event) {
    socket = null;
    const why = CLOSES[event.code] || `closed with ${event.code}`;
    say("closed", `${event.code} ${why}`, "warn");
    if (!wanted) return;
    if (event.code === 4401 && !signedIn) {
        stop();
        return trouble("The stream did not take the token.", "Its time is up, or it was made with other keys than the stream's.");
    }
    comeBack(why);
}

function comeBack(why) {
    const wait = WAITS[Math.min(tries, WAITS.length - 1)] * (0.5 + Math.random() / 2);
    tries += 1;
    state(`${why}: coming back`, "warn");
    timer = setTimeout(open, wait);
    drawButtons();
}

function stop(why) {
    clearTimeout(timer);
    wanted = null;
    const old = socket;
    socket = null;
    if (old) { old.close(1000); say("closed", why || "you stopped it", ""); }
    state("not connected", "idle");
    drawButtons();
}

async function renew() {
    const mine = socket;
    try {
        const pass = await token();
        if (socket === mine && mine) mine.send(JSON.stringify({ action: "auth", token: pass.token }));
    } catch (error) { trouble("The token is about to end, and no other was made.", error.message); }
}

// What is heard

function hear(messages) {
    const received = now();
    // A fleet's snapshots are one line.
    const many = messages.length > 4 && messages.every((message) => message.T === "snapshot");
    if (many) say("snapshot", `${count(messages.length)} accounts go on`, "", messages);
    for (const message of messages) {
        if (many) begin(message);
        else (HEARD[message.T] || other)(message, received);
    }
    arrivals.push([received, messages.length]);
    dirty = true;
}

const HEARD = {
    success(message) {
        say(message.msg, "", "good", message);
        if (message.msg !== "authenticated" || signedIn) return;
        signedIn = true;
        socket.send(JSON.stringify(subscription()));
    },
    subscription(message) {
        const counted = Object.entries(message).filter(([, list]) => Array.isArray(list) && list.length)
            .map(([name, list]) => `${name} ${list.length > 3 ? list.length : list.join(" ")}`);
        say("subscription", counted.join(" · ") || "nothing", "good", message);
        // What is followed has its line, also before its first tick.
        for (const name of ["quotes", "option_quotes"]) (message[name] || []).forEach(rowOf);
        if (tries) told.again += 1;
        tries = 0;
        listeningSince = Math.min(listeningSince, now());
        state("listening", "good");
        drawButtons();
    },
    snapshot(message) {
        begin(message);
        say("snapshot", `${message.account_id} goes on after #${message.seq}`, "", message);
    },
    order: update, account: update,
    q: tick, t: tick, b: tick,
    gap(message, received) {
        told.gaps += 1;
        say("gap", plain(message), "bad", message);
        if (message.account_id === undefined) return;
        seen.set(message.account_id, message.seq);
        show({ gap: `${message.account_id} #${message.seq}: ${message.reason || "missing"}`, message, received });
    },
    dropped(message) { told.dropped += Number(message.count) || 0; say("dropped", plain(message), "", message); },
    heartbeat(message) { say("heartbeat", moved(message.accounts), "", message); },
    status(message) {
        const told = `${message.channel}${message.feed ? ` of ${message.feed}` : ""}: ${message.state} since ${(message.since || "").slice(11, 19)}`;
        const missing = (message.missing || []).join(" ");
        say("status", missing ? `${told}, no prices of ${missing}` : told, missing ? "warn" : STATES[message.state] || "warn", message);
        feeds.set(message.channel, message);
        drawFeeds();
    },
    token(message) { say("token", `ends in ${message.expires_in} s: asking for another`, "", message); renew(); },
    error(message) {
        const text = [message.code, message.msg, message.detail].filter(Boolean).join(" · ");
        say("error", text, "bad", message);
        // Missed too much, or an account that is gone: better go on from now than not at all.
        if (tries && seen.size && [400, 4404, 4410].includes(message.code)) {
            trouble("What was missed is not shown.", text);
            seen.clear();
            socket.send(JSON.stringify(subscription()));
        } else if (signedIn && listeningSince === Infinity) {
            stop("refused");
            trouble("The stream refused that.", text);
        }
    },
};
function begin({ account_id: account, seq }) { if (!seen.has(account)) seen.set(account, seq); }
function other(message) { say(String(message.T), plain(message), "", message); }
function plain(message) {
    return Object.entries(message).filter(([name]) => name !== "T")
        .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ");
}
function moved(accounts) {
    const names = Object.entries(accounts || {}).map(([name, seq]) => `${name} #${seq}`);
    return names.length > 4 ? `${names.length} accounts moved` : names.join(" · ") || "nothing moved";
}

function update(message, received) {
    told.updates += 1;
    const last = seen.get(message.account_id);
    if (last !== undefined && message.seq > last + 1) {
        told.gaps += 1;
        show({ gap: `${message.account_id} #${last + 1} to #${message.seq - 1} did not come`, message, received });
    }
    seen.set(message.account_id, Math.max(message.seq, last ?? 0));
    const happened = instant(message.at), sent = instant(message.sent_at);
    // What happened before we listened is replayed: its delay is ours, not the gateway's.
    if (happened >= listeningSince) delays.push(received - happened);
    if (delays.length > MOST_DELAYS) delays.shift();
    show({ message, received, whole: received - happened, gateway: sent - happened, way: received - sent });
}

function rowOf(symbol) {
    if (!quotes.has(symbol)) quotes.set(symbol, { ticks: 0, quote: {}, last: null });
    return quotes.get(symbol);
}

function tick(message, received) {
    told.ticks += 1;
    const row = rowOf(message.S);
    row.ticks += 1;
    row.received = received;
    row.delay = received - instant(message.at ?? message.t);
    row.feed = message.feed;
    if (message.T === "q") {
        row.moved = message.bp > row.quote.bp ? "up" : message.bp < row.quote.bp ? "down" : row.moved;
        row.quote = message;
    } else row.last = message.T === "t" ? message.p : message.c;
}

// The page

function state(text, tone) {
    const shown = at("stream-state");
    set(shown, text);
    shown.className = `op-dot op-${tone}`;
}

function trouble(title, text) {
    const alarm = at("stream-trouble");
    alarm.hidden = !title;
    set(alarm.querySelector("b"), title || "");
    set(alarm.querySelector("p"), text || "");
}

function drawButtons() {
    at("stream-break").disabled = !(socket && signedIn);
    at("stream-stop").disabled = !wanted;
    set(at("stream-watch"), wanted ? "Watch this instead" : "Watch");
}

function say(kind, text, tone, message) {
    const list = at("stream-talk");
    const first = list.firstElementChild;
    // Beat after beat is one line that goes on.
    const line = kind === "heartbeat" && first?.dataset.kind === kind ? first : node("li");
    line.dataset.kind = kind;
    line.replaceChildren(node("time", "", clockTime(now())), node("b", tone ? `op-said op-${tone}` : "op-said", kind), node("span", "", text));
    choosable(line, message, kind);
    if (line !== first) list.prepend(line);
    while (list.childElementCount > MOST_TALK) list.lastElementChild.remove();
    at("stream-talk-none").hidden = true;
}

function show(entry) {
    if (paused) {
        held.push(entry);
        if (held.length > MOST_UPDATES) held.shift();
        dirty = true;
        return;
    }
    const body = at("stream-updates");
    body.prepend(entry.gap ? gapRow(entry) : updateRow(entry));
    while (body.childElementCount > MOST_UPDATES) body.lastElementChild.remove();
    at("stream-updates-none").hidden = true;
}

function updateRow({ message, received, whole, gateway, way }) {
    const order = message.order || {};
    const status = order.status || message.reason;
    const row = node("tr", "");
    const cells = [
        node("td", "op-line", clockTime(received)),
        node("td", "op-line", link(message.account_id, `${page.dataset.accounts}${encodeURIComponent(message.account_id)}/change/`)),
        node("td", "op-number", `#${message.seq}`),
        node("td", "op-line", message.T === "account" ? node("em", "", message.event) : message.event),
        node("td", "op-line", order.id ? link(ordered(order), `${page.dataset.orders}${encodeURIComponent(order.id)}/change/`) : "–"),
        node("td", "op-line", status ? dot(status, order.status ? TONES[status] || "info" : "hold") : "–"),
        node("td", "op-number", filled(order)),
        node("td", "op-number", ms(whole)), node("td", "op-number op-quiet", ms(gateway)), node("td", "op-number op-quiet", ms(way)),
    ];
    row.append(...cells);
    choosable(row, message, `${message.account_id} #${message.seq} ${message.event}`);
    return row;
}

function gapRow({ gap, message, received }) {
    const row = node("tr", "op-gap");
    const cell = node("td", "", "GAP: ", gap, ". The account's journal has what there is.");
    cell.colSpan = 9;
    row.append(node("td", "op-line", clockTime(received)), cell);
    choosable(row, message, "gap");
    return row;
}

function ordered(order) {
    const size = order.qty || (order.notional && `$${order.notional}`);
    const legs = order.legs && `${order.legs.length} legs`;
    return [order.side, size, order.symbol || legs, order.type, order.stop_price, order.limit_price].filter(Boolean).join(" ");
}
function filled(order) {
    if (!order.filled_qty || order.filled_qty === "0") return "–";
    const whole = order.qty && order.qty !== order.filled_qty ? ` of ${order.qty}` : "";
    return `${order.filled_qty}${whole}${order.filled_avg_price ? ` at ${order.filled_avg_price}` : ""}`;
}
function link(text, href) { return Object.assign(node("a", "op-link", text), { href }); }

function choosable(line, message, title) {
    line.classList.toggle("op-choosable", Boolean(message));
    line.tabIndex = message ? 0 : -1;
    line.chosen = message && { message, title };
}
function choose(event) {
    if (event.type === "keydown" && event.key !== "Enter") return;
    if (event.target.closest("a, button, input")) return;
    const line = event.target.closest(".op-choosable");
    if (!line) return;
    chosen?.classList.remove("op-now");
    chosen = line;
    line.classList.add("op-now");
    set(at("stream-chosen-title"), line.chosen.title);
    set(at("stream-chosen-text"), JSON.stringify(line.chosen.message, null, 2));
    at("stream-chosen").hidden = false;
}

function forgetOthers(lists) {
    const followed = new Set([...lists.quotes, ...lists.option_quotes]);
    for (const [symbol, row] of quotes) if (!followed.has(symbol)) { row.line?.remove(); quotes.delete(symbol); }
    for (const channel of feeds.keys()) if (!lists[channel]?.length) feeds.delete(channel);
    drawFeeds();
    at("stream-quotes-none").hidden = quotes.size > 0;
}

function drawQuotes() {
    const body = at("stream-quotes"), ago = now();
    at("stream-quotes-none").hidden = quotes.size > 0;
    for (const [symbol, row] of [...quotes].sort(([one], [two]) => (one < two ? -1 : 1))) {
        if (!row.line) {
            row.line = node("tr", "", ...Array.from({ length: 10 }, (_, nth) => node("td", [0, 6].includes(nth) ? "op-line" : "op-number")));
            set(row.line.cells[0], symbol);
            const next = [...body.rows].find((one) => one.cells[0].textContent > symbol);
            body.insertBefore(row.line, next || null);
        }
        const { quote, line } = row;
        const texts = [price(quote.bp), quote.bs, price(quote.ap), quote.as, price(row.last), row.feed, ms(ago - row.received), ms(row.delay), count(row.ticks)];
        texts.forEach((text, nth) => set(line.cells[nth + 1], text === undefined || text === null || text === "" ? "–" : String(text)));
        line.cells[1].className = `op-number${row.moved ? ` op-${row.moved}` : ""}`;
        line.classList.toggle("op-old", !(ago - row.received < 5000));
    }
}

function drawFeeds() {
    at("stream-market").replaceChildren(...[...feeds].map(([channel, { feed, state }]) =>
        dot(`${channel.replace("_", " ")} ${[feed, state].filter(Boolean).join(" ")}`, STATES[state] || "warn")));
}

function drawFigures() {
    const since = now() - 1000;
    while (arrivals.length && arrivals[0][0] < since) arrivals.shift();
    const sorted = [...delays].sort((one, two) => one - two);
    const nth = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    for (const [name, value] of Object.entries(told)) set(at(`n-${name}`), count(value));
    set(at("n-rate"), count(arrivals.reduce((sum, [, many]) => sum + many, 0)));
    set(at("n-delay"), sorted.length ? `${ms(nth(0.5)).replace(/ ms$/, "")} · ${ms(nth(0.99))}` : "–");
    at("n-gaps").classList.toggle("op-wrong", told.gaps > 0);
    const rows = at("stream-updates").childElementCount;
    set(at("stream-kept"), paused ? `paused, ${held.length} waiting` : rows ? `the last ${rows}, newest first` : "newest first");
}

function pause() {
    paused = !paused;
    at("stream-pause").setAttribute("aria-pressed", String(paused));
    set(at("stream-pause"), paused ? "go on" : "pause");
    if (!paused) held.splice(0).forEach(show);
    dirty = true;
}

function clear() {
    at("stream-updates").replaceChildren();
    held = [];
    at("stream-updates-none").hidden = false;
    at("stream-chosen").hidden = true;
    dirty = true;
}

form.addEventListener("submit", (event) => { event.preventDefault(); watch(); });
at("stream-stop").addEventListener("click", () => stop());
at("stream-break").addEventListener("click", () => socket?.close(4000));
at("stream-pause").addEventListener("click", pause);
at("stream-clear").addEventListener("click", clear);
page.addEventListener("click", choose);
page.addEventListener("keydown", choose);
setInterval(() => { drawFigures(); if (dirty || quotes.size) drawQuotes(); dirty = false; }, 200);
drawFigures();
