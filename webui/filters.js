// Runs once for the filters. A slider shows its bounds at once; Python is asked when it is let go.
const STEPS = 200;
const figures = new Intl.NumberFormat('en-GB', {maximumSignificantDigits: 4});
const said = (value, unit) => {
  if (unit !== 'bytes') return figures.format(value) + (unit === 'pixels' ? ' px' : '');
  const [size, name] = [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']].find(([size]) => value >= size) || [1, 'B'];
  return `${(value / size).toFixed(size > 1 && value < 10 * size ? 1 : 0)} ${name}`;
};
// Sizes spread over powers of ten: equal steps of the slider are equal factors there.
const scaleOf = ({smallest, largest}) => {
  const [low, high] = [Number(smallest), Number(largest)], powers = low > 0 && high / low > 50;
  return powers
    ? {at: step => low * (high / low) ** (step / STEPS), of: value => STEPS * Math.log(value / low) / Math.log(high / low)}
    : {at: step => low + (high - low) * step / STEPS, of: value => STEPS * (value - low) / (high - low)};
};
const boundsOf = span => {  // as text; an end that was not moved is open
  const {smallest, largest, low, high} = span.dataset, scale = scaleOf(span.dataset), whole = 'whole' in span.dataset;
  const [from, to] = [...span.querySelectorAll('input')].map(input => Number(input.value)).sort((a, b) => a - b);
  const value = (step, kept, round) => kept && Math.round(scale.of(Number(kept))) === step ? kept
    : String(whole ? round(scale.at(step)) : Number(scale.at(step).toPrecision(4)));
  return {from, to, low: from ? value(from, low, Math.ceil) : '', high: to < STEPS ? value(to, high, Math.floor) : '', smallest, largest};
};
const draw = span => {
  const {from, to, low, high, smallest, largest} = boundsOf(span), {unit} = span.dataset;
  const words = [said(Number(low || smallest), unit), said(Number(high || largest), unit)];
  span.querySelector('output').textContent = words.join(' – ');
  const bar = span.querySelector('i');
  bar.style.left = `${100 * from / STEPS}%`;
  bar.style.right = `${100 - 100 * to / STEPS}%`;
  [...span.querySelectorAll('input')].sort((a, b) => a.value - b.value).forEach((input, end) => input.setAttribute('aria-valuetext', words[end]));
};
const place = () => element.querySelectorAll('.dh-span[data-smallest]').forEach(span => {
  const {low, high} = span.dataset, scale = scaleOf(span.dataset), [from, to] = span.querySelectorAll('input');
  if (low) from.value = Math.round(scale.of(Number(low)));
  if (high) to.value = Math.round(scale.of(Number(high)));
  draw(span);
});
const picked = () => {
  const choices = {}, ranges = {};
  for (const choice of element.querySelectorAll('.dh-choice')) {
    const values = [...choice.querySelectorAll('[aria-pressed=true]')].map(button => button.dataset.value);
    if (values.length) choices[choice.dataset.attribute] = values;
  }
  for (const span of element.querySelectorAll('.dh-span')) {
    const bounds = span.matches('.dh-days')
      ? [...span.querySelectorAll('input')].map(input => input.value === input.dataset.end ? '' : input.value)
      : (({low, high}) => [low, high])(boundsOf(span));
    if (bounds.some(Boolean)) ranges[span.dataset.attribute] = bounds;
  }
  element.querySelector('.dh-filters')?.classList.toggle('dh-picked', Boolean(Object.keys({...choices, ...ranges}).length));
  return {choices, ranges};
};
let waiting = 0;
const send = (pause = 0) => {
  clearTimeout(waiting);
  waiting = setTimeout(() => trigger('pick', picked()), pause);
};
element.addEventListener('input', event => {
  const span = event.target.closest('.dh-span[data-smallest]');
  if (span) draw(span);
});
element.addEventListener('change', event => { if (event.target.closest('.dh-span')) send(200); });
element.addEventListener('click', event => {
  const chip = event.target.closest('[data-value]');
  if (chip) chip.setAttribute('aria-pressed', chip.getAttribute('aria-pressed') !== 'true');
  const clear = event.target.closest('.dh-clear-picks');
  if (clear) {
    for (const one of element.querySelectorAll('[aria-pressed=true]')) one.setAttribute('aria-pressed', false);
    for (const days of element.querySelectorAll('.dh-days input')) days.value = days.dataset.end;
    for (const span of element.querySelectorAll('.dh-span[data-smallest]')) {
      span.querySelectorAll('input').forEach((input, end) => { input.value = end * STEPS; });
      draw(span);
    }
  }
  if (chip || clear) send();
});
watch('value', () => { place(); picked(); });
place();
