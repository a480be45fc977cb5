package lab

import "strings"

// Numbers of an exchange, beside its phones'.
const (
	// Queue is a queue whose one agent is Answers.
	Queue = "600"
	// Group rings RingsLong and Answers at once.
	Group = "601"
	// Conference is a room.
	Conference = "602"
	// Diverted goes to Answers by the dialplan, over a Local channel.
	Diverted = "603"
	// Attested calls Answers, as if STIR had found the caller to be who it says (A, passed).
	Attested = "606"
	// Announces plays something before it refuses, without an answer.
	Announces = "604"
	// Closes answers and hangs up before a second is over.
	Closes = "605"
	// Slots is where a transfer parks a call, and Slot the first place it may get.
	Slots = "700"
	Slot  = "701"
	// PickUp before a phone's number takes over a call that rings there.
	PickUp = "*8"
	// Outside before a number leads out, over the trunk that is the phone Second.
	Outside = "+"
	// Trunk is a line from outside, as whose number Call.From is given.
	Trunk = "1015"
)

// Exchange are the options of a PBX with what an office's does: queue, ring group,
// conference, parking, pickup, forwards, other codecs, TLS and a trunk.
func Exchange() Options {
	return Options{
		Modules: strings.Fields(`
			res_pjsip_refer res_pjsip_diversion res_pjsip_rfc3326 res_pjsip_header_funcs
			codec_g722 codec_resample format_sln res_convert
			res_musiconhold bridge_builtin_features app_queue app_confbridge app_bridgewait
			res_parking app_directed_pickup app_channelredirect res_crypto res_srtp func_timeout`),
		Phones: []string{Early, Forwards, Second, ALaw, Wide, Secure, Transfers, Gone, Failing, Absent, Trunk},
		Files: map[string]string{
			"extensions.conf":  exchangeDialplan,
			"res_parking.conf": "[general]\n[default]\nparkext => " + Slots + "\nparkpos => 701-720\ncontext => parkedcalls\nparkingtime => 60\nparkedplay => caller\ncourtesytone => \n",
			"queues.conf":      "[general]\n[sales]\nstrategy = ringall\ntimeout = 10\nmember => PJSIP/" + Answers + "\n",
			"confbridge.conf":  "[general]\n[default_user]\ntype = user\nquiet = yes\n[default_bridge]\ntype = bridge\n",
			"features.conf":    "[general]\n",
			"musiconhold.conf": "[general]\n",
		},
	}
}

const exchangeDialplan = `[general]
static = yes
writeprotect = yes
#include extensions_callseal.conf

[lab]
include => parkedcalls
exten => _1XXX,1,Set(CDR(userfield)=${CHANNEL(pjsip,call-id)})
 same => n,Gosub(callseal-record,s,1)
 same => n,Dial(PJSIP/${EXTEN},${IF($["${EXTEN}" = "1004"]?1:30)})
 same => n,Hangup(${IF($["${DIALSTATUS}" = "NOANSWER"]?19:${HANGUPCAUSE})})

exten => 600,1,Gosub(callseal-record,s,1)
 same => n,Answer()
 same => n,Queue(sales)
 same => n,Hangup()

exten => 601,1,Gosub(callseal-record,s,1)
 same => n,Dial(PJSIP/1005&PJSIP/1002,30)
 same => n,Hangup()

exten => 602,1,Gosub(callseal-record,s,1)
 same => n,Answer()
 same => n,ConfBridge(room)
 same => n,Hangup()

exten => 603,1,Gosub(callseal-record,s,1)
 same => n,Dial(Local/1002@forwarded/n,30)
 same => n,Hangup()

exten => 604,1,Gosub(callseal-record,s,1)
 same => n,Progress()
 same => n,Playtones(info)
 same => n,Wait(1)
 same => n,Hangup(17)

exten => 605,1,Gosub(callseal-record,s,1)
 same => n,Answer()
 same => n,Wait(0.3)
 same => n,Hangup()

exten => 606,1,Set(CALLSEAL_STIR_ATTESTATION=A)
 same => n,Set(CALLSEAL_STIR_VERDICT=passed)
 same => n,Gosub(callseal-record,s,1)
 same => n,Dial(PJSIP/1002,30)
 same => n,Hangup()

exten => _*8.,1,Pickup(${EXTEN:2}@lab)
 same => n,Hangup()

exten => _+X.,1,Gosub(callseal-record,s,1)
 same => n,Dial(PJSIP/1008,30,b(callseal-facts^s^1))
 same => n,Hangup()

[forwarded]
exten => _1XXX,1,Dial(PJSIP/${EXTEN},30)
 same => n,Hangup()

[from-trunk]
exten => _1XXX,1,Set(CDR(userfield)=${CHANNEL(pjsip,call-id)})
 same => n,Gosub(callseal-record,s,1)
 same => n,Dial(PJSIP/${EXTEN},30)
 same => n,Hangup()
`
