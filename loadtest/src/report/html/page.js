// Values under the pointer, read back from the drawn lines; everything else works without this.
const tip = document.getElementById('tip')
const digits = v => v >= 99.95 ? Math.round(v).toLocaleString('en') : v.toPrecision(3)
const time = us => us >= 999500 ? digits(us / 1e6) + ' s' : us >= 999.5 ? digits(us / 1e3) + ' ms' : digits(us) + ' µs'
const heads = {
  nines: (share, end) => (100 - 100 * 10 ** (-share * end)).toFixed(Math.max(0, Math.ceil(share * end) - 1)) + ' %',
  seconds: (share, end) => (share * end).toFixed(1) + ' s',
}
const value = (scale, lo, hi, share) => scale === 'log' ? lo * (hi / lo) ** share : lo + (hi - lo) * share
const yAt = (points, x) => {
  for (let i = 1; i !== points.length; i++) {
    const [a, b] = [points[i - 1], points[i]]
    if (x >= a.x ? b.x >= x : false) return a.y + (b.y - a.y) * (b.x > a.x ? (x - a.x) / (b.x - a.x) : 1)
  }
}
function rows(g, frame, x) {
  const [scale, lo, hi] = g.dataset.y.split(' ')
  const unit = g.closest('[data-unit]').dataset.unit
  return [...g.querySelectorAll('[data-name]')].filter(s => s.getClientRects().length).map(s => {
    const y = yAt([...s.querySelector('polyline').points], x)
    if (y === undefined) return
    const v = value(scale, +lo, +hi, (frame.y + frame.height - y) / frame.height)
    return { name: s.dataset.name, colour: getComputedStyle(s).color, v, text: unit === 'us' ? time(v) : digits(v) + '/s' }
  }).filter(Boolean).sort((a, b) => b.v - a.v)
}
function show(event) {
  const svg = event.currentTarget, plot = svg.querySelector('[data-x]')
  const frame = svg.querySelector('.frame').getBBox()
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse())
  const share = (at.x - frame.x) / frame.width
  tip.hidden = share > 1 || 0 > share
  if (tip.hidden) return
  const [kind, end] = plot.dataset.x.split(' ')
  const g = [...svg.querySelectorAll('.scale')].find(s => getComputedStyle(s).display !== 'none')
  tip.replaceChildren(heads[kind](share, +end))
  for (const row of rows(g, frame, at.x)) {
    const dot = document.createElement('i')
    dot.style.background = row.colour
    tip.append('\n', dot, row.name + '  ' + row.text)
  }
  const left = event.clientX + 16 + tip.offsetWidth > innerWidth ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16
  tip.style.left = Math.max(4, left) + 'px'
  tip.style.top = Math.min(event.clientY + 12, innerHeight - tip.offsetHeight - 4) + 'px'
}
for (const plot of document.querySelectorAll('svg [data-x]')) {
  const svg = plot.closest('svg')
  svg.addEventListener('pointermove', show)
  svg.addEventListener('pointerleave', () => { tip.hidden = true })
}
