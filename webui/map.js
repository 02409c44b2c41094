// The map of codes on the Browse tab: points on a canvas, the one that is pointed at as a picture, its surroundings as links.
const PALETTE = ['#0d9488', '#d97706', '#6366f1', '#db2777', '#65a30d', '#0284c7', '#b45309', '#9333ea', '#dc2626', '#4b5563', '#94a3b8'];
const AROUND = 24, REACH = 14;
let sky = null;  // what is drawn at the moment

const unpacked = holder => {
  const bytes = Uint8Array.from(atob(holder.dataset.points), letter => letter.charCodeAt(0)), count = Number(holder.dataset.count);
  const ids = new BigInt64Array(bytes.buffer, 0, count), places = new Uint16Array(bytes.buffer, 8 * count, 2 * count);
  return {holder, count, ids, places, colours: bytes.subarray(12 * count), canvas: holder.querySelector('canvas'),
          zoom: 1, x: 0, y: 0, here: -1};
};
const side = () => sky.canvas.clientWidth;
const placeOf = n => [(sky.places[2 * n] / 65535 - .5) * .94 * side() * sky.zoom + side() / 2 + sky.x,
                      (sky.places[2 * n + 1] / 65535 - .5) * .94 * side() * sky.zoom + side() / 2 + sky.y];
const draw = () => {
  const {canvas} = sky, sharp = window.devicePixelRatio || 1, size = side();
  if (!size) return;
  canvas.width = canvas.height = size * sharp;
  const pen = canvas.getContext('2d'), dot = Math.max(2, Math.min(7, (sky.count > 4000 ? 2.2 : 3.5) * Math.sqrt(sky.zoom)));
  pen.scale(sharp, sharp);
  pen.globalAlpha = sky.count > 4000 ? .75 : .9;
  for (let n = 0; n < sky.count; n++) {
    const [x, y] = placeOf(n);
    if (x < -9 || y < -9 || x > size + 9 || y > size + 9) continue;
    pen.fillStyle = PALETTE[sky.colours[n]];
    pen.fillRect(x - dot / 2, y - dot / 2, dot, dot);
  }
  if (sky.here < 0) return;
  pen.globalAlpha = 1;
  pen.lineWidth = 2.5;
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.beginPath();
  pen.arc(...placeOf(sky.here), dot + 4, 0, 7);
  pen.stroke();
};
const nearestTo = (x, y, most = Infinity) => {
  let best = -1, least = most * most;
  for (let n = 0; n < sky.count; n++) {
    const [a, b] = placeOf(n), apart = (a - x) ** 2 + (b - y) ** 2;
    if (apart < least) [best, least] = [n, apart];
  }
  return best;
};
const asked = n => new URLSearchParams({collection: sky.holder.dataset.collection, id: String(sky.ids[n])});
const thumbnail = (n, size) =>
  `api/items/${sky.ids[n]}/thumbnail?${new URLSearchParams({collection: sky.holder.dataset.collection, side: size})}`;
const peekAt = n => {
  const peek = sky.holder.querySelector('.dh-peek'), [x, y] = n < 0 ? [0, 0] : placeOf(n);
  peek.hidden = n < 0;
  if (n < 0) return;
  peek.firstChild.src = thumbnail(n, 160);
  peek.firstChild.alt = `item ${sky.ids[n]}`;
  peek.style.left = `${Math.max(0, Math.min(side() - 132, x - 66))}px`;
  peek.style.top = `${y > side() / 2 ? y - 146 : y + 14}px`;
};
const go = n => { sky.here = n; peekAt(n); draw(); };
const zoomBy = (by, x = side() / 2, y = side() / 2) => {
  const before = sky.zoom;
  sky.zoom = by ? Math.max(1, Math.min(40, before * by)) : 1;
  const grown = sky.zoom / before, middle = side() / 2;
  [sky.x, sky.y] = sky.zoom === 1 ? [0, 0] : [x - middle - (x - middle - sky.x) * grown, y - middle - (y - middle - sky.y) * grown];
  sky.canvas.style.touchAction = sky.zoom === 1 ? 'pan-y' : 'none';
  peekAt(-1);
  draw();
};
const listAround = (n, focus) => {  // what came from strangers goes into attributes, never into markup
  const [x, y] = placeOf(n), section = element.querySelector('.dh-around'), apart = m => {
    const [a, b] = placeOf(m);
    return (a - x) ** 2 + (b - y) ** 2;
  };
  const near = [...Array(sky.count).keys()].sort((a, b) => apart(a) - apart(b)).slice(0, AROUND);
  section.querySelector('.dh-grid').replaceChildren(...near.map(m => {
    const card = document.createElement('div'), link = document.createElement('a'), picture = document.createElement('img');
    Object.assign(card, {className: 'dh-card', role: 'listitem'});
    Object.assign(link, {className: 'dh-hit', href: `?${asked(m)}`, ariaLabel: `Item ${sky.ids[m]}. Show it large`});
    Object.assign(link.dataset, {id: String(sky.ids[m]), collection: sky.holder.dataset.collection});
    Object.assign(picture, {src: thumbnail(m, 160), alt: `item ${sky.ids[m]}`});
    link.append(picture);
    card.append(link);
    return card;
  }));
  section.hidden = false;
  if (focus) section.querySelector('a').focus();
};
const step = (across, down) => {  // the nearest point in a quarter of the sky
  const [x, y] = sky.here < 0 ? [side() / 2, side() / 2] : placeOf(sky.here);
  let best = -1, least = Infinity;
  for (let n = 0; n < sky.count; n++) {
    const [a, b] = placeOf(n), ahead = (a - x) * across + (b - y) * down, aside = Math.abs((a - x) * down) + Math.abs((b - y) * across);
    if (n !== sky.here && ahead > 3 && aside <= ahead && ahead ** 2 + aside ** 2 < least) [best, least] = [n, ahead ** 2 + aside ** 2];
  }
  if (best < 0) return;
  const [a, b] = placeOf(best);
  if (a < 0 || b < 0 || a > side() || b > side()) [sky.x, sky.y] = [sky.x + side() / 2 - a, sky.y + side() / 2 - b];
  go(best);
};
const KEYS = {ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  '+': () => zoomBy(1.6), '=': () => zoomBy(1.6), '-': () => zoomBy(.625), 0: () => zoomBy(0),
  Enter: () => sky.here >= 0 && listAround(sky.here, true)};

const begin = holder => {
  sky = unpacked(holder);
  const {canvas} = sky;
  let pressed = null, moved = false;
  canvas.style.touchAction = 'pan-y';
  canvas.addEventListener('pointermove', event => {
    const {left, top} = canvas.getBoundingClientRect(), x = event.clientX - left, y = event.clientY - top;
    if (!pressed) { const n = nearestTo(x, y, REACH); if (n !== sky.here) go(n); return; }
    if (Math.hypot(x - pressed[0], y - pressed[1]) > 4) moved = true;
    if (!moved || sky.zoom === 1) return;
    [sky.x, sky.y] = [pressed[2] + x - pressed[0], pressed[3] + y - pressed[1]];
    peekAt(-1);
    draw();
  });
  canvas.addEventListener('pointerdown', event => {
    const {left, top} = canvas.getBoundingClientRect();
    pressed = [event.clientX - left, event.clientY - top, sky.x, sky.y];
    moved = false;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointerup', () => {
    if (pressed && !moved) {
      const n = nearestTo(pressed[0], pressed[1], 2 * REACH);
      if (n >= 0) { go(n); listAround(n, false); }
    }
    pressed = null;
  });
  canvas.addEventListener('pointercancel', () => { pressed = null; });
  canvas.addEventListener('pointerleave', () => { if (!pressed && document.activeElement !== canvas) go(-1); });
  canvas.addEventListener('blur', () => go(-1));
  canvas.addEventListener('wheel', event => {  // with Ctrl, as maps do, so that the page scrolls without it
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 1.25 : .8, event.offsetX, event.offsetY);
  }, {passive: false});
  canvas.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    KEYS[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });
  holder.addEventListener('click', event => {
    const button = event.target.closest('[data-zoom]');
    if (button) zoomBy(Number(button.dataset.zoom));
  });
  new ResizeObserver(() => { if (sky.canvas === canvas) draw(); }).observe(canvas);
};
watch('value', () => {
  const holder = element.querySelector('.dh-map');
  if (holder && holder !== sky?.holder) begin(holder);
});
