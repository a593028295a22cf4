// Draws the fleet from accounts/fleet.py's picture, and again every few seconds. Text enters the page as
// text nodes only; a cell or a row that did not change is left alone, so focus and selection stay.
"use strict";

const page = document.getElementById("fleet");
const words = read("fleet-words");
const cells = at("fleet-cells");
let picture = read("fleet-now");
let shows = "state";

function at(id) { return document.getElementById(id); }
function read(id) { return JSON.parse(at(id).textContent); }
function set(node, text) { if (node.textContent !== text) node.textContent = text; }

function age(seconds) {
    for (const [whole, unit] of [[86400, "d"], [3600, "h"], [60, "min"]])
        if (seconds >= 2 * whole) return `${Math.floor(seconds / whole)} ${unit}`;
    return `${seconds} s`;
}

// What a cell shows: a tone, and a mark that says the same without colour.
const NOTHING = { tone: "idle", mark: "–" };

function share(percent) {
    if (percent === null) return NOTHING;
    const tone = percent < 10 ? "bad" : percent < 30 ? "warn" : "good";
    return { tone, mark: tone === "good" ? "" : String(percent) };
}

function lateness(seconds) {
    if (seconds === null) return NOTHING;
    const tone = seconds < 60 ? "good" : seconds < 300 ? "warn" : "bad";
    return { tone, mark: tone === "good" ? "" : String(Math.min(99, Math.floor(seconds / 60))) };
}

function word(kind, value) {
    if (value === null) return NOTHING;
    return words[kind][value] || { tone: "warn", mark: "?" };
}

const LOOKS = {
    state: (account) => word("state", account[1]),
    stream: (account) => word("stream", account[2]),
    breaker: (account) => word("breaker", account[3]),
    left: (account) => share(account[5]),
    checked: (account) => lateness(account[6]),
};

const KEYS = {
    left: [["good", "", "30 % or more left"], ["warn", "29", "less than 30 %"], ["bad", "9", "less than 10 %"],
        ["idle", "–", "not told yet"]],
    checked: [["good", "", "checked in the last minute"], ["warn", "4", "minutes ago"],
        ["bad", "9", "5 minutes and more"], ["idle", "–", "not checked yet"]],
};

function drawCells() {
    while (cells.childElementCount > picture.accounts.length) cells.lastElementChild.remove();
    const fresh = document.createDocumentFragment();
    for (let n = cells.childElementCount; n < picture.accounts.length; n++) {
        const cell = document.createElement("a");
        cell.tabIndex = -1;
        fresh.append(cell);
    }
    cells.append(fresh);
    const look = LOOKS[shows];
    let cell = cells.firstElementChild;
    for (const account of picture.accounts) {
        const { tone, mark } = look(account);
        if (cell.dataset.is !== tone) { cell.dataset.is = tone; cell.className = `op-${tone}`; }
        set(cell, mark);
        if (cell.dataset.account !== account[0]) {
            cell.dataset.account = account[0];
            cell.href = addressOf(account[0]);
        }
        cell = cell.nextElementSibling;
    }
    const told = picture.states.filter(([, count]) => count).map(([state, count]) => `${count} ${state}`);
    cells.setAttribute("aria-label", `${picture.accounts.length} accounts: ${told.join(", ")}`);
}

function addressOf(account) { return `${page.dataset.accounts}${encodeURIComponent(account)}/change/`; }
function processAddress(name) { return `${page.dataset.processes}${encodeURIComponent(name)}/change/`; }

function legend() {
    if (KEYS[shows]) return KEYS[shows].map(([tone, mark, text]) => ({ tone, mark, text }));
    const nth = { state: 1, stream: 2, breaker: 3 }[shows];
    const counted = new Map(Object.keys(words[shows]).map((value) => [value, 0]));
    for (const account of picture.accounts) counted.set(account[nth], (counted.get(account[nth]) || 0) + 1);
    return [...counted].map(([value, count]) => ({
        ...word(shows, value), text: value === null ? "nobody owns it" : value, count,
        href: value === null ? `${page.dataset.accounts}?desk=nobody`
            : `${page.dataset.accounts}?${shows}=${encodeURIComponent(value)}`,
    }));
}

function drawLegend() {
    const list = at("fleet-legend");
    const items = legend();
    const key = JSON.stringify(items);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(...items.map((item) => {
        const line = document.createElement("li");
        const mark = document.createElement("i");
        mark.className = `op-${item.tone}`;
        mark.textContent = item.mark;
        line.append(mark, item.href ? linked(item.text, item.href) : item.text);
        if (item.count !== undefined) line.append(Object.assign(document.createElement("b"),
            { textContent: item.count.toLocaleString("en-US") }));
        return line;
    }));
}

function linked(text, href) {
    return Object.assign(document.createElement("a"), { textContent: text, href, className: "op-link" });
}

// A row is a list of cells: text, or {text, href, tone, badge, number}.
function drawRows(id, rows) {
    const body = at(id);
    while (body.rows.length > rows.length) body.deleteRow(-1);
    rows.forEach((row, n) => {
        const line = body.rows[n] || body.insertRow();
        row.forEach((told, m) => drawValue(line.cells[m] || line.insertCell(), told));
    });
    at(`${id}-none`).hidden = rows.length > 0;
    body.parentElement.hidden = rows.length === 0;
}

function drawValue(cell, told) {
    const key = JSON.stringify(told ?? null);
    if (cell.dataset.key === key) return;
    cell.dataset.key = key;
    const { text = told, href, tone, badge, number } = told instanceof Object ? told : {};
    cell.className = number ? "op-number" : "";
    const shown = text === null || text === undefined ? "–" : String(text);
    if (href) cell.replaceChildren(linked(shown, href));
    else if (tone) cell.replaceChildren(Object.assign(document.createElement("span"),
        { textContent: shown, className: `${badge ? "op-badge" : "op-dot"} op-${tone}` }));
    else cell.replaceChildren(shown);
}

const number = (text) => ({ text, number: true });

function drawTables() {
    drawRows("fleet-attention", picture.attention.map((one) => [
        { text: one.account, href: addressOf(one.account) },
        { text: one.state, tone: word("state", one.state).tone }, one.why, one.desk,
    ]));
    drawRows("fleet-breakers", picture.breakers.map((one) => [
        one.account ? { text: one.of, href: addressOf(one.of) } : one.of,
        { text: one.breaker, tone: word("breaker", one.breaker).tone, badge: true }, one.seen_by,
    ]));
    drawRows("fleet-desks", picture.desks.map((desk) => [
        desk.alive ? { text: desk.name, href: processAddress(desk.name) } : desk.name ?? "nobody",
        desk.alive ? { text: "alive", tone: "good" } : { text: desk.name ? "gone" : "not owned", tone: "bad" },
        number(desk.accounts.toLocaleString("en-US")), number(desk.waiting),
        number(desk.senders && `${desk.senders.busy} of ${desk.senders.max}`),
    ]));
    drawRows("fleet-processes", picture.processes.map((one) => [
        { text: one.name, href: processAddress(one.name) }, one.role,
        { text: `${age(one.beat)} ago`, tone: one.alive ? "good" : "idle" },
        number(one.alive ? age(one.up) : null), one.version, number(one.warm), number(one.sockets),
    ]));
}

function drawNotes() {
    const listening = new Map(picture.streams).get("listening") || 0;
    const oldest = picture.oldest_check;
    const check = oldest ? `; oldest check ${age(oldest.seconds)} ago, ${oldest.account}` : "";
    set(at("fleet-as-of"), `${listening.toLocaleString("en-US")} streams listening${check}; `
        + `${picture.as_of.slice(11, 19)} UTC`);
    set(at("fleet-desks-note"), `${picture.desks.filter((desk) => desk.alive).length} alive`);
    set(at("fleet-processes-note"), `${picture.processes.filter((one) => one.alive).length} alive`);
}

function draw() { drawCells(); drawLegend(); drawTables(); drawNotes(); }

function tell(event) {
    const cell = event.target.closest("a[data-account]");
    const account = cell && picture.accounts.find((one) => one[0] === cell.dataset.account);
    if (!account) return;
    const [name, state, stream, breaker, desk, left, checked] = account;
    set(at("fleet-under"), [
        name, state, `stream ${stream}`, breaker && `breaker ${breaker}`, desk ? `owned by ${desk}` : "owned by nobody",
        left !== null && `${left} % of its calls left`, checked !== null && `checked ${age(checked)} ago`,
    ].filter(Boolean).join(" · "));
}

function choose(event) {
    const button = event.target.closest("[data-shows]");
    if (!button) return;
    shows = button.dataset.shows;
    for (const one of page.querySelectorAll("[data-shows]"))
        one.setAttribute("aria-pressed", String(one === button));
    drawCells();
    drawLegend();
}

function trouble(title, text) {
    const alarm = at("fleet-trouble");
    alarm.hidden = !title;
    set(alarm.querySelector("b"), title || "");
    set(alarm.querySelector("p"), text || "");
}

async function refresh() {
    if (document.hidden) return;
    try {
        const answer = await fetch(page.dataset.picture, { redirect: "manual", cache: "no-store" });
        if (!answer.ok) {
            trouble("You are signed out, or may not see this any more.", "Load the page again to sign in.");
            return;
        }
        picture = await answer.json();
        trouble();
        draw();
    } catch {
        trouble("The gateway does not answer.", `What you see is of ${picture.as_of.slice(0, 19)} UTC. It is asked again every few seconds.`);
    }
}

draw();
cells.addEventListener("pointerover", tell);
page.addEventListener("click", choose);
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, page.dataset.refreshSeconds * 1000);
