# Reads messages by Perl's Email::MIME and tells what it found, for tests/mime/readers.py.
#
# In: a line with the number of octets, then the message; again and again.
# Out: a line of JSON for each.

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Email::MIME;
use Email::MIME::ContentType qw(parse_content_disposition parse_content_type);
use JSON::PP;

# It decodes the encoded word in name="…" before it reads the quotes; what comes of that does
# not matter, since it takes the name from the disposition.
$Email::MIME::ContentType::STRICT_PARAMS = 0;

my $json = JSON::PP->new->ascii->canonical->allow_nonref;
binmode STDIN;
binmode STDOUT;
$| = 1;

sub mailboxes {
    my ($message, $field) = @_;
    defined $message->header_raw($field) or return undef;
    my $found = $message->header_as_obj($field);
    return [map { [$_->phrase // '', $_->address // ''] } $found->addresses];
}

sub described {
    my ($part) = @_;
    my $type = parse_content_type($part->content_type // 'text/plain');
    my $media_type = lc "$type->{type}/$type->{subtype}";
    my @subparts = $media_type =~ m{^multipart/} ? $part->subparts : ();
    my $written = $part->header_raw('Content-Disposition');
    my $cid = $part->header_raw('Content-ID');
    return {
        media_type  => $media_type,
        method      => $type->{attributes}{method},
        disposition => defined $written ? parse_content_disposition($written)->{type} : undef,
        name        => scalar $part->filename,
        cid         => $cid,
        sha256      => @subparts ? undef : sha256_hex($part->body),
        text        => !@subparts && !defined $written && $media_type =~ m{^text/} ? scalar eval { $part->body_str } : undef,
        parts       => [map { described($_) } @subparts],
    };
}

while (defined(my $octets = <STDIN>)) {
    read(STDIN, my $source, $octets) == $octets or die 'the message is cut off';
    my $message = Email::MIME->new($source);
    print $json->encode({
        root      => described($message),
        fields    => [map { [$_, [$message->header_str($_)]] } $message->header_names],
        mailboxes => {
            map { ($_ => mailboxes($message, $_)) } qw(From Sender Reply-To To Cc)
        },
    }), "\n";
}
