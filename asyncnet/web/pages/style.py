"""The look that all pages share: colours for light and dark, type, frame, tables, code.

Two colours carry meaning everywhere: --out is what a client sends, --back what a server
answers.  Lines are joined without a space, so every rule must survive that.
"""

BASE = """
:root{color-scheme:light dark;
--paper:#f3f6f7;--panel:#fff;--sunk:#e9eff1;--ink:#11212b;--soft:#526572;--line:#d5dfe3;
--out:#0a6c74;--back:#b0450b;--bad:#a8243c;
--screen:#0b2a33;--screen-2:#0f3c47;--screen-ink:#effcfa;--screen-soft:#9cc7c9;--trace:#35b8b0;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
--mono:ui-monospace,"SF Mono","Cascadia Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{
--paper:#0c1418;--panel:#131e24;--sunk:#0f181d;--ink:#e3edf0;--soft:#96abb5;--line:#25353d;
--out:#58cdd0;--back:#f3a15f;--bad:#ff8b9c;
--screen:#0a2830;--screen-2:#0f3f49}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;min-height:100vh;display:flex;flex-direction:column;
background:var(--paper);color:var(--ink);font:1rem/1.6 var(--sans);
overflow-wrap:break-word}
h1,h2,h3{line-height:1.15;letter-spacing:-.02em;margin:0;text-wrap:balance}
h1{font-size:clamp(2.1rem,1.4rem + 3.2vw,3.5rem);letter-spacing:-.035em}
h2{font-size:clamp(1.35rem,1.15rem + .9vw,1.75rem)}
h3{font-size:1.05rem;letter-spacing:-.01em}
p{margin:0;max-width:62ch;text-wrap:pretty}
a{color:var(--out);text-underline-offset:.2em;text-decoration-thickness:1px}
a:hover{text-decoration-thickness:2px}
:focus-visible{outline:3px solid var(--trace);outline-offset:3px;border-radius:4px}
code,pre,kbd{font-family:var(--mono);font-size:.875em;font-variant-ligatures:none}
p code,li code,td code,dd code{background:var(--sunk);border-radius:4px;padding:.1em .35em;
overflow-wrap:anywhere}
.wrap{width:min(100% - 2.5rem,68rem);margin-inline:auto}
.top{border-bottom:1px solid var(--line);background:var(--panel)}
.top .wrap{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem 2rem;padding-block:.85rem}
.mark{display:flex;align-items:center;gap:.6rem;margin-right:auto;color:var(--ink);
font:600 1.1rem/1 var(--mono);letter-spacing:-.03em;text-decoration:none}
.mark svg{width:1.9rem;height:1.9rem}
nav{display:flex;gap:.25rem;margin-inline:-.7rem}
nav a{padding:.45rem .7rem;border-radius:8px;color:var(--soft);font-size:.95rem;
text-decoration:none;white-space:nowrap}
nav a:hover{color:var(--ink);background:var(--sunk)}
nav a[aria-current]{color:var(--ink);background:var(--sunk);font-weight:600}
main{flex:1;padding-block:clamp(2rem,5vw,4rem)}
main>p+h1{margin-top:1rem}
.lead{margin-top:1.1rem;font-size:1.125rem;color:var(--soft)}
section{margin-top:clamp(2.75rem,6vw,4.5rem)}
section>p{margin-top:.6rem;color:var(--soft)}
.panel{background:var(--panel);border:1px solid var(--line);border-radius:14px}
.status{display:inline-block;min-width:3.4rem;padding:.15rem .6rem;border-radius:99px;
border:1px solid currentColor;font:600 .85rem/1.5 var(--mono);text-align:center}
.ok{color:var(--out)}
.warn{color:var(--back)}
.bad{color:var(--bad)}
.end{border-top:1px solid var(--line);color:var(--soft);font-size:.9rem}
.end .wrap{display:flex;flex-wrap:wrap;gap:.35rem 2rem;justify-content:space-between;
padding-block:1.4rem 2rem}
@media (max-width:30rem){
.wrap{width:calc(100% - 2rem)}
.top .wrap{padding-block:.8rem .5rem}
nav{width:calc(100% + 1.1rem);margin-inline:-.55rem}
nav a{padding-inline:.55rem}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
"""

HOME = """
.hero{display:grid;gap:clamp(1.75rem,4vw,3.5rem);align-items:center}
.screen{position:relative;overflow:hidden;border-radius:20px;color:var(--screen-ink);
padding:clamp(1.4rem,4vw,2.25rem);min-height:17rem;display:flex;flex-direction:column;
background:radial-gradient(120% 140% at 85% 0,var(--screen-2),var(--screen) 65%);
box-shadow:0 1px 0 #ffffff14 inset,0 18px 40px -22px #04161b}
.screen h2{font-size:1rem;font-weight:500;letter-spacing:0;color:var(--screen-soft)}
.screen p{position:relative;font-size:.95rem;color:var(--screen-soft)}
.screen .number{color:inherit;margin-block:auto;padding-block:1.5rem;
font:600 clamp(3.6rem,2.6rem + 4.5vw,6rem)/1 var(--mono);
font-variant-numeric:tabular-nums;letter-spacing:-.06em;overflow-wrap:anywhere}
.number strong{font-weight:inherit}
.trace{position:absolute;inset:3.6rem 0 auto;width:100%;height:calc(100% - 8.6rem);
opacity:.55;fill:none;stroke:var(--trace);stroke-width:1.5;
-webkit-mask-image:linear-gradient(90deg,#0000 35%,#000);
mask-image:linear-gradient(90deg,#0000 35%,#000)}
.doors{display:grid;gap:1rem;margin-top:1.4rem}
.door{display:block;padding:1.4rem 1.5rem;color:inherit;text-decoration:none;
transition:border-color .15s}
.door:hover{border-color:var(--out)}
.door h3{font-size:1.2rem;color:var(--out)}
.door h3::after{content:" \\2192"}
.door p{margin-top:.4rem;color:var(--soft)}
.answers{margin:1.4rem 0 0;padding:0;list-style:none}
.answers li{display:grid;grid-template-columns:auto 1fr;gap:.2rem 1.1rem;align-items:baseline;
padding:1rem 1.4rem}
.answers li+li{border-top:1px solid var(--line)}
.answers p{color:var(--soft);max-width:none}
.answers b{color:var(--ink)}
.way{display:grid;gap:2rem;margin:1.4rem 0 0;padding:0;list-style:none;counter-reset:way}
.way li{position:relative;padding:1.2rem 1.4rem}
.way li+li::before{content:"";position:absolute;width:.7rem;height:.7rem;
border:solid var(--soft);border-width:2px 2px 0 0;
top:-1.45rem;left:50%;transform:translateX(-50%) rotate(135deg)}
.way h3{font-family:var(--mono);font-weight:600}
.way p{margin-top:.3rem;color:var(--soft);font-size:.95rem}
@media (max-width:30rem){.trace{height:calc(100% - 10.5rem)}}
@media (min-width:46rem){.doors{grid-template-columns:1fr 1fr}
.answers li{grid-template-columns:5rem 1fr}}
@media (min-width:60rem){.hero{grid-template-columns:1fr 1.05fr}
.way{grid-template-columns:repeat(3,1fr)}
.way li+li::before{top:50%;left:-1.4rem;transform:translateY(-50%) rotate(45deg)}}
"""

MAIL = """
.steps{display:grid;gap:1rem;margin:0;padding:0;list-style:none;counter-reset:step}
.steps li{padding:1.3rem 1.4rem;counter-increment:step;min-width:0}
.steps h3::before{content:counter(step);display:inline-grid;place-items:center;
width:1.75rem;height:1.75rem;margin-right:.65rem;border-radius:50%;
background:var(--out);color:var(--panel);font:600 .95rem/1 var(--mono);letter-spacing:0}
.steps p{margin-top:.7rem;color:var(--soft)}
pre{margin:1rem 0 0;padding:1rem 1.2rem;overflow-x:auto;border-radius:10px;
background:var(--sunk);line-height:1.65;tab-size:2}
pre b{color:var(--out);font-weight:600}
pre i{color:var(--soft);font-style:normal}
.pair{display:grid;gap:1.25rem 2rem;margin-top:1.4rem}
.pair>*{min-width:0}
.pair p{color:var(--soft)}
.pair h3+p{margin-top:.35rem}
.keys{margin-top:1.4rem;overflow:hidden}
.keys h3{padding:.8rem 1.4rem;background:var(--sunk);border-block:1px solid var(--line)}
.keys h3:first-child{border-top:0}
.keys dl{margin:0;padding:.35rem 1.4rem}
.keys dt{padding-top:.7rem;font:600 .9rem/1.6 var(--mono)}
.keys dd{margin:0;padding-bottom:.7rem;color:var(--soft);max-width:66ch}
.keys div+div{border-top:1px solid var(--line)}
.names{margin:1.4rem 0 0;padding:.35rem 1.4rem;list-style:none}
.names li{padding-block:.8rem;display:grid;gap:.1rem 1.4rem}
.names li+li{border-top:1px solid var(--line)}
.names b{font-family:var(--mono);font-size:.9rem}
.names span{color:var(--soft)}
@media (min-width:46rem){
.keys div{display:grid;grid-template-columns:15rem 1fr;gap:0 1.5rem}
.keys dt,.keys dd{padding-block:.7rem}
.names li{grid-template-columns:15rem 1fr}}
@media (min-width:60rem){.steps{grid-template-columns:repeat(3,1fr)}
.pair{grid-template-columns:1fr 1fr}}
"""

WIRE = """
.talk{display:grid;gap:1.6rem 3rem;align-items:start}
.talk>*{min-width:0}
.why p{margin-top:.8rem;color:var(--soft)}
.why dl{margin:1.3rem 0 0;display:grid;grid-template-columns:auto 1fr;gap:.45rem 1rem}
.why dt{font:600 .9rem/1.75 var(--mono);color:var(--ink)}
.why dd{margin:0;color:var(--soft)}
.seq{padding:1.2rem clamp(.9rem,3vw,1.75rem) 1.5rem}
.ends{display:flex;justify-content:space-between;font-weight:600;gap:1rem}
.ends span{padding:.3rem .85rem;border-radius:8px;background:var(--sunk)}
.ends span:first-child{color:var(--out)}
.ends span:last-child{color:var(--back)}
.seq ol{position:relative;margin:0 1.4rem;padding:1rem 0 .4rem;list-style:none;
border:solid var(--line);border-width:0 2px}
.m{position:relative;display:grid;place-items:center;min-height:4.1rem;padding:.45rem 1.5rem;
color:var(--out)}
.m.back{color:var(--back)}
.m svg{position:absolute;inset:.35rem 0;width:100%;height:calc(100% - .7rem);overflow:visible;
stroke:currentColor;stroke-width:2;fill:none}
.m::after{content:"";position:absolute;right:-1px;bottom:.05rem;width:.75rem;height:.75rem;
background:currentColor;clip-path:polygon(0 0,100% 62%,6% 100%)}
.m.back::after{right:auto;left:-1px;transform:scaleX(-1)}
.m>div{position:relative;max-width:100%;min-width:0;padding:.22rem .8rem;
background:var(--panel);border:1px solid;border-radius:8px;font:600 .85rem/1.5 var(--mono);
text-align:center}
.m small{display:block;font:400 .8rem/1.4 var(--sans);color:var(--soft)}
.m pre{margin:0;font-size:.8rem;font-weight:400;line-height:1.6;text-align:left;color:var(--ink);
white-space:pre-wrap;overflow-wrap:anywhere}
.m pre i{color:var(--soft)}
.m pre b{color:var(--out)}
.m.back pre b{color:var(--back)}
.seq .phase{margin:.9rem -1.4rem;padding:.35rem 1.4rem;position:relative;text-align:center;
background:var(--sunk);border-radius:8px;font-size:.88rem;color:var(--soft)}
.seq .phase b{color:var(--ink);font-weight:600}
.lock{width:1rem;height:1rem;margin-right:.25rem;vertical-align:-.14rem;
fill:var(--ink);stroke:var(--ink);stroke-width:1.6}
.lock path{fill:none}
@media (max-width:30rem){.seq ol{margin-inline:.5rem}.seq .phase{margin-inline:-.5rem}
.m{padding-inline:.9rem}}
@media (min-width:60rem){.talk{grid-template-columns:21rem 1fr}
.why{position:sticky;top:1.5rem}}
"""
