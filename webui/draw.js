// Runs once for the drawing sheet: strokes with mouse, pen or finger; undo, clear, search.
const canvas = element.querySelector('canvas'), pen = canvas.getContext('2d');
let strokes = [], stroke = null;
const paint = () => {
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = '#000';
  pen.lineCap = pen.lineJoin = 'round';
  for (const {width, points} of strokes) {
    pen.lineWidth = width;
    pen.beginPath();
    points.forEach(([x, y], i) => i ? pen.lineTo(x, y) : pen.moveTo(x, y));
    if (points.length === 1) pen.lineTo(points[0][0] + 0.1, points[0][1]);
    pen.stroke();
  }
};
const at = event => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
};
const send = () => { if (strokes.length) trigger('drawn', {picture: canvas.toDataURL('image/png')}); };
canvas.addEventListener('pointerdown', event => {
  canvas.setPointerCapture(event.pointerId);
  stroke = {width: Number(element.querySelector('.dh-pen').value), points: [at(event)]};
  strokes.push(stroke);
  paint();
  event.preventDefault();
});
canvas.addEventListener('pointermove', event => { if (stroke) { stroke.points.push(at(event)); paint(); } });
for (const name of ['pointerup', 'pointercancel']) {
  canvas.addEventListener(name, () => { if (stroke) { stroke = null; send(); } });
}
element.querySelector('.dh-undo').addEventListener('click', () => { strokes.pop(); paint(); send(); });
element.querySelector('.dh-clear').addEventListener('click', () => { strokes = []; paint(); });
paint();
