# Make a table of what bench-peers has noted: row|broker|messages/s|p99 ms|lost|CPU s per million. Each figure is the median of its rounds,
# but for losses, which are added up.
BEGIN {
	goal["fan-in QoS 0", "mosquitto"] = 1; goal["fan-in QoS 0", "nats"] = 1
	goal["fan-in QoS 1", "mosquitto"] = 3; goal["fan-in QoS 2", "mosquitto"] = 3
	goal["fan-out QoS 0", "mosquitto"] = 1; goal["fan-out QoS 0", "nats"] = 1
	goal["fan-out QoS 1", "mosquitto"] = 1.5
}

{
	if (!($1 in known)) { known[$1] = 1; rows[++nrows] = $1 }
	if ($3 != "") note($1, $2, "rate", $3)
	if ($4 != "") note($1, $2, "p99", $4)
	if ($6 != "") note($1, $2, "cpu", $6)
	lost[$1, $2] += $5
}

function note(row, broker, what, value) { values[row, broker, what, ++count[row, broker, what]] = value + 0 }

# median returns "" where nothing was noted.
function median(row, broker, what,    n, i, j, v, list) {
	n = count[row, broker, what]
	if (!n) return ""
	for (i = 1; i <= n; i++) {
		v = values[row, broker, what, i]
		for (j = i - 1; j > 0 && list[j] > v; j--) list[j + 1] = list[j]
		list[j + 1] = v
	}
	return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

# paired tells the median of the ratios of two rows, round by round, and their range: on a machine that others use too, rounds differ.
function paired(a, b, broker,    i, n, r) {
	n = count[a, broker, "rate"]
	if (!n || n != count[b, broker, "rate"]) return ""
	for (i = 1; i <= n; i++) {
		r = 100 * ratio(values[a, broker, "rate", i], values[b, broker, "rate", i])
		note("paired" a b, broker, "rate", r)
		if (i == 1 || r < low) low = r
		if (i == 1 || r > high) high = r
	}
	return sprintf("%.0f %% (%.0f to %.0f)", median("paired" a b, broker, "rate"), low, high)
}

function show(format, value) { return value == "" ? "-" : sprintf(format, value) }

function ratio(a, b) { return a == "" || b == "" || b == 0 ? "" : a / b }

# verdict compares a ratio with its goal.
function verdict(row, peer, r,    g) {
	g = goal[row, peer]
	if (g == "" || r == "") return show("%.2f", r)
	return sprintf("%.2f %s", r, r >= g ? "ok" : "LOW")
}

function line(row,    t, m, n) {
	t = median(row, "tidegate", "rate"); m = median(row, "mosquitto", "rate"); n = median(row, "nats", "rate")
	printf "%-20s %10s %10s %10s  %10s %10s  %6s %6s %6s  %7s %7s %7s  %s\n", row,
		show("%.0f", t), show("%.0f", m), show("%.0f", n),
		verdict(row, "mosquitto", ratio(t, m)), verdict(row, "nats", ratio(t, n)),
		show("%.2f", median(row, "tidegate", "cpu")), show("%.2f", median(row, "mosquitto", "cpu")), show("%.2f", median(row, "nats", "cpu")),
		show("%.2f", median(row, "tidegate", "p99")), show("%.2f", median(row, "mosquitto", "p99")), show("%.2f", median(row, "nats", "p99")),
		(lost[row, "tidegate"] + 0) "/" (lost[row, "mosquitto"] + 0) "/" (lost[row, "nats"] + 0)
}

END {
	printf "\n%-20s %32s  %21s  %20s  %23s  %s\n", "", "deliveries/s", "tidegate is times", "CPU s per million", "p99 ms", "lost"
	printf "%-20s %10s %10s %10s  %10s %10s  %6s %6s %6s  %7s %7s %7s  %s\n", "", "tidegate", "mosquitto", "nats",
		"mosquitto", "nats", "tide", "mosq", "nats", "tide", "mosq", "nats", "t/m/n"
	for (i = 1; i <= nrows; i++) if (rows[i] != "idle") line(rows[i])
	print ""
	r = paired("persistent, online", "clean, new broker", "tidegate")
	if (r != "") printf "persistent online subscriber: %s of a clean one (goal 80); mosquitto %s\n", r,
		paired("persistent, online", "clean, new broker", "mosquitto")
	r = median("persistent, offline", "tidegate", "rate")
	if (r != "") printf "offline persistent session, synchronised before PUBACK: %.0f/s (goal 60000)\n", r
	r = median("2000/s QoS 1", "tidegate", "p99")
	if (r != "") printf "p99 at 2,000 messages/s: %.2f ms, mosquitto %.2f (goal: not above)\n", r, median("2000/s QoS 1", "mosquitto", "p99")
	r = median("idle", "tidegate", "rate")
	if (r != "") printf "idle client: %.1f KB, mosquitto %.1f (goal 8)\n", r, median("idle", "mosquitto", "rate")
}
