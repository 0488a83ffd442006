<?php
if (!is_user_logged_in()) {
    echo 'Belum masuk: /login';
} else {
    $user = wp_get_current_user();
    echo '<p>Halo, ' . esc_html($user->display_name) . '</p><p id="roles">' . implode(' ', $user->roles) . '</p><a id="logout" href="' . esc_url(wp_logout_url()) . '">Keluar</a>';
}
